package httpapi

import (
	"runtime"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
)

func TestSubjectsAreKeptByAllThatTheyAre(t *testing.T) {
	s := newSubjects()
	all := []audit.Permission{{ResourceType: "*", Action: "*"}}
	one := audit.Subject{ID: uuid.UUID{1}, Roles: []audit.Role{{Site: all}}, Groups: []uuid.UUID{{2}}, Scope: audit.Unlimited()}
	first, err := s.of(one)
	require.NoError(t, err)
	again, err := s.of(one)
	require.NoError(t, err)
	require.Same(t, first, again)
	for name, change := range map[string]func(*audit.Subject){
		"id":     func(o *audit.Subject) { o.ID = uuid.UUID{3} },
		"groups": func(o *audit.Subject) { o.Groups = nil },
		"scope":  func(o *audit.Subject) { o.Scope.AllowList = nil },
		"roles":  func(o *audit.Subject) { o.Roles = []audit.Role{{User: all}} },
		"negate": func(o *audit.Subject) {
			o.Roles = []audit.Role{{Site: []audit.Permission{{Negate: true, ResourceType: "*", Action: "*"}}}}
		},
		"orgs": func(o *audit.Subject) { o.Roles = []audit.Role{{Site: all, Orgs: []uuid.UUID{{4}}}} },
	} {
		other := one
		change(&other)
		got, err := s.of(other)
		require.NoError(t, err)
		require.NotSame(t, first, got, name)
	}
}

// What is kept is bounded by the memory that it takes, in which the permissions of a
// role stand once for each organization.
func TestSubjectsAreKeptByTheirSize(t *testing.T) {
	for _, permissions := range []int{1, 40} {
		role := audit.Role{}
		for range permissions {
			role.Org = append(role.Org, audit.Permission{ResourceType: "audit_log", Action: "read"})
		}
		for i := range 300 {
			role.Orgs = append(role.Orgs, uuid.UUID{2, byte(i), byte(i >> 8)})
		}
		s := newSubjects()
		before := heap()
		subject, err := s.of(audit.Subject{ID: uuid.UUID{1}, Roles: []audit.Role{role}, Scope: audit.Unlimited()})
		require.NoError(t, err)
		taken := heap() - before
		s.kept.CleanUp()
		t.Logf("%d permissions: %d bytes taken, %d reckoned with", permissions, taken, s.kept.WeightedSize())
		require.Greater(t, 2*s.kept.WeightedSize(), taken)
		runtime.KeepAlive(subject)
	}
}

// heap is how much is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkSubjects(b *testing.B) {
	subject := audit.Subject{ID: uuid.UUID{1}, Scope: audit.Unlimited()}
	role := audit.Role{Org: []audit.Permission{{ResourceType: "audit_log", Action: "read"}}}
	for i := range 1000 {
		role.Orgs = append(role.Orgs, uuid.UUID{2, byte(i), byte(i >> 8)})
	}
	subject.Roles, subject.Groups = []audit.Role{role}, role.Orgs
	b.Run("kept", func(b *testing.B) {
		s := newSubjects()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.of(subject); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := newSubjects().of(subject); err != nil {
				b.Fatal(err)
			}
		}
	})
}
