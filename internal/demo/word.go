package demo

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
)

var (
	firstNames = strings.Fields(`Ada Alan Amara Anders Aya Barbara Bjarne Carla Chen Dana Dennis Edsger Elif Emeka
		Farah Fatima Grace Guido Haruki Hedy Ines Ivan Jana Joan Jun Katherine Ken Lars Leila Linus Luca Mai Margaret
		Marta Mei Miguel Nadia Niklaus Noor Olga Omar Paolo Priya Radia Rosa Samir Sofia Tariq Tim Uma Vera Wei Yara Zoe`)
	lastNames = strings.Fields(`Abe Allen Andersen Backus Bauer Berg Castro Cohen Costa Diaz Dubois Eriksen Fischer
		Fujita Garcia Haddad Hamilton Hoffmann Hopper Ito Jansen Johnson Kaya Khan Kim Kowalski Lamarr Larsen Lee Liskov
		Lovelace Meyer Moreau Nakamura Nguyen Novak Okafor Olsen Park Patel Perlman Petrov Quinn Ritchie Rossi Santos
		Sato Silva Singh Tanaka Thompson Torres Turing Vega Weber Wirth Wong Yilmaz Zhang`)
	adjectives = strings.Fields(`amber ancient blue bold brave bright calm clever coral crimson curious dusty eager
		electric gentle golden green happy hidden icy jolly keen lively lucky mellow misty noble quiet rapid red
		scarlet sharp silent silver smooth snowy solid swift teal violet warm wild wise young`)
	nouns = strings.Fields(`badger beetle bison canyon cedar comet condor coyote crane delta dolphin dune eagle ember
		falcon fern finch fjord forest fox gecko glacier harbor heron ibex island jaguar lagoon lark lynx maple meadow
		meteor moose otter owl panda pine puffin raven reef river robin salmon sparrow tiger walrus wolf`)
	industries = strings.Fields(`labs systems robotics energy foods health media finance games logistics motors
		research studios textiles works`)
	groupNames    = []string{"developers", "platform", "security", "contractors", "data"}
	templateNames = []string{"docker", "kubernetes", "aws-linux", "gcp-linux", "azure-windows", "devcontainer", "gpu", "nomad"}
	slugs         = []string{"code-server", "jupyter", "filebrowser", "vnc", "terminal"}
)

var userAgents = []string{
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
	"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0",
	"rowfence-cli/1.4.2 (linux/amd64)",
	"rowfence-cli/1.4.2 (darwin/arm64)",
	"Terraform/1.12.2 (+https://www.terraform.io)",
	"Go-http-client/2.0",
}

// The networks of offices; the last one is behind the home addresses.
var networks = []netip.Addr{
	netip.MustParseAddr("10.20.0.0"), netip.MustParseAddr("10.64.0.0"), netip.MustParseAddr("172.16.0.0"),
	netip.MustParseAddr("192.168.0.0"), netip.MustParseAddr("2001:db8:20::"),
}

// address is where u is: mostly at the office, else at home.
func (u *user) address(r *rand.Rand) netip.Prefix {
	addr := networks[u.office]
	last := u.home
	if chance(r, 4) {
		addr, last = netip.MustParseAddr("100.64.0.0"), u.home^r.IntN(4)
	}
	bytes := addr.AsSlice()
	bytes[len(bytes)-2], bytes[len(bytes)-1] = byte(last>>8), byte(last)
	addr, _ = netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(addr, addr.BitLen())
}

func (u *user) agent(r *rand.Rand) string {
	if chance(r, 5) {
		return oneOf(r, userAgents[5:])
	}
	return userAgents[u.browser]
}

// organizationNames are distinct.
func organizationNames(r *rand.Rand, count int) []string {
	names := make([]string, count)
	order := r.Perm(len(nouns))
	for i := range names {
		names[i] = nouns[order[i%len(order)]] + "-" + oneOf(r, industries)
		if i >= len(order) {
			names[i] += "-" + strconv.Itoa(i)
		}
	}
	return names
}

func lower(s string) string { return strings.ToLower(s) }

// title is a name for people: "Site auditor" for "site-auditor".
func title(name string) string {
	name = strings.ReplaceAll(name, "-", " ")
	return strings.ToUpper(name[:1]) + name[1:]
}
