package postgres

// Rows of a log are not changed: triggers refuse it to everyone, except to the
// owner of the table while a transaction says that it maintains it. The grants of
// the server's role refuse it before that (see grant.go).
//
// The row of a session is what its events make of it, in whatever order they come
// (audit.SessionState): an earlier connect or disconnect takes the place of a later
// one. So it may be updated, within what events can do; each state of it is sealed
// as a row of its own.
const (
	allowChanges  = "SELECT set_config('rowfence.maintenance', 'on', true)"
	refuseChanges = "SELECT set_config('rowfence.maintenance', '', true)"

	// The number of the writing transaction, by which rows are sealed. PostgreSQL's
	// own starts again in a database that was restored from a dump: then a number is
	// added to it.
	transactionFunction = `
CREATE OR REPLACE FUNCTION log_transaction() RETURNS bigint LANGUAGE sql STABLE AS
	$$ SELECT pg_current_xact_id()::text::bigint + %d $$`

	guardFunctions = `
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('rowfence.maintenance', true) = 'on'
		AND (SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = TG_RELID) THEN
		IF TG_OP = 'UPDATE' THEN
			RETURN NEW;
		ELSIF TG_OP = 'DELETE' THEN
			RETURN OLD;
		END IF;
		RETURN NULL;
	END IF;
	IF TG_OP = 'DELETE' THEN
		-- The half of an update that takes a row to another month.
		IF current_setting('rowfence.moving', true) = OLD.id::text THEN
			PERFORM set_config('rowfence.moving', '', true);
			RETURN OLD;
		END IF;
	END IF;
	RAISE EXCEPTION 'rows of % are not to be changed or deleted', TG_TABLE_NAME
		USING ERRCODE = 'insufficient_privilege', HINT = 'Retention is the work of: rowfence maintain.';
END $$;

CREATE OR REPLACE FUNCTION complete_connection() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('rowfence.maintenance', true) = 'on'
		AND (SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = TG_RELID) THEN
		RETURN NEW;
	END IF;
	NEW.written_in := OLD.written_in;
	IF NEW IS NOT DISTINCT FROM OLD THEN
		RETURN NEW;
	END IF;
	IF OLD.connection_id IS NULL
		-- Which session it is of.
		OR (NEW.id, NEW.connection_id, NEW.workspace_id, NEW.agent_name) <> (OLD.id, OLD.connection_id, OLD.workspace_id, OLD.agent_name)
		OR NEW.connection_id IS NULL
		-- What a session does not have.
		OR (NEW.user_agent, NEW.user_id, NEW.slug_or_port) IS DISTINCT FROM (OLD.user_agent, OLD.user_id, OLD.slug_or_port)
		-- The earliest events count. While no connect was seen, the disconnect's time
		-- stands for it, and any connect takes its place.
		OR NEW.connect_time > OLD.connect_time AND OLD.connect_time IS DISTINCT FROM OLD.disconnect_time
		OR NEW.disconnect_time > OLD.disconnect_time
		-- What was known does not become unknown.
		OR NEW.disconnect_time IS NULL AND OLD.disconnect_time IS NOT NULL
		OR NEW.disconnect_reason IS NULL AND OLD.disconnect_reason IS NOT NULL
		OR NEW.code IS NULL AND OLD.code IS NOT NULL
	THEN
		RAISE EXCEPTION 'what is known of a connection is not to be changed' USING ERRCODE = 'insufficient_privilege',
			HINT = 'The row of a session may become that of earlier events, or of more of them.';
	END IF;
	-- It is another row now, which is sealed by itself.
	NEW.written_in := log_transaction();
	PERFORM set_config('rowfence.moving', OLD.id::text, true);
	RETURN NEW;
END $$`
)

func guardTruncate(table string) string {
	return "CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON " + quote(table) + " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
}

// guards are the triggers of a log. Those of rows are cloned to each partition.
func (t LogTable) guards() []string {
	events, guards := "UPDATE OR DELETE", []string{guardTruncate(t.Name)}
	if t == ConnectionLogTable {
		events = "DELETE"
		guards = append(guards, "CREATE TRIGGER complete_connection BEFORE UPDATE ON "+quote(t.Name)+" FOR EACH ROW EXECUTE FUNCTION complete_connection()")
	}
	return append(guards, "CREATE TRIGGER refuse_change BEFORE "+events+" ON "+quote(t.Name)+" FOR EACH ROW EXECUTE FUNCTION refuse_change()")
}
