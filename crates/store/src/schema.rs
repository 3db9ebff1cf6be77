//! The tables, and how older ones become the present ones. Versions only go forward; each step is one transaction.

use std::path::Path;

use rusqlite::Connection;

use crate::{Collection, StoreError, Stream};

/// What makes version `n + 1` out of version `n`; the first step starts from an empty file.
pub(crate) type Step = fn() -> String;

/// Every step, in order. A step that was released is never changed: a new one is added.
pub(crate) const STEPS: &[Step] = &[first_tables];

fn first_tables() -> String {
    let mut sql = String::from(
        "CREATE TABLE identity (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            role TEXT NOT NULL, chain_id TEXT NOT NULL, hub TEXT NOT NULL, pool TEXT NOT NULL);",
    );
    for collection in Collection::ALL {
        let name = collection.name();
        // `owner`, `state` and `at` are what documents are looked up by; what they mean is the writer's affair.
        sql.push_str(&format!(
            "CREATE TABLE {name} (key TEXT PRIMARY KEY, owner TEXT, state TEXT, at INTEGER, body TEXT NOT NULL) WITHOUT ROWID;
             CREATE INDEX {name}_owner ON {name} (owner, key) WHERE owner IS NOT NULL;
             CREATE INDEX {name}_state ON {name} (state, key) WHERE state IS NOT NULL;
             CREATE INDEX {name}_at ON {name} (at, key) WHERE at IS NOT NULL;"
        ));
    }
    for stream in Stream::ALL {
        let name = stream.name();
        // AUTOINCREMENT: a number is not given again after its record was pruned.
        sql.push_str(&format!(
            "CREATE TABLE {name} (seq INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL);
             CREATE INDEX {name}_subject ON {name} (subject, seq);
             CREATE INDEX {name}_at ON {name} (at);"
        ));
    }
    sql
}

/// Brings the database to the newest version of `steps`.
pub(crate) fn migrate(
    connection: &mut Connection,
    folder: &Path,
    steps: &[Step],
) -> Result<(), StoreError> {
    let fail = |source| StoreError::of(folder, source);
    let found: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(fail)?;
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::NewerSchema {
            folder: folder.to_path_buf(),
            found,
            known,
        });
    }
    for (version, step) in (1_u32..).zip(steps).skip(found as usize) {
        let transaction = connection.transaction().map_err(fail)?;
        transaction.execute_batch(&step()).map_err(fail)?;
        transaction
            .execute_batch(&format!("PRAGMA user_version = {version}"))
            .map_err(fail)?;
        transaction.commit().map_err(fail)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_a_column() -> String {
        "ALTER TABLE tasks ADD COLUMN note TEXT; UPDATE tasks SET note = 'older'".to_owned()
    }

    fn version(connection: &Connection) -> u32 {
        connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn an_older_file_is_brought_forward_and_keeps_what_it_held() {
        let folder = Path::new("here");
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, folder, &[first_tables]).unwrap();
        connection
            .execute("INSERT INTO tasks (key, body) VALUES ('t', '{}')", [])
            .unwrap();
        assert_eq!(version(&connection), 1);

        migrate(&mut connection, folder, &[first_tables, with_a_column]).unwrap();

        assert_eq!(version(&connection), 2);
        let note: String = connection
            .query_row("SELECT note FROM tasks WHERE key = 't'", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(note, "older");
    }

    #[test]
    fn a_step_is_taken_once() {
        let folder = Path::new("here");
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, folder, &[first_tables, with_a_column]).unwrap();
        migrate(&mut connection, folder, &[first_tables, with_a_column]).unwrap();
        assert_eq!(version(&connection), 2);
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(
            &mut connection,
            Path::new("here"),
            &[first_tables, with_a_column],
        )
        .unwrap();
        let refused = migrate(&mut connection, Path::new("here"), &[first_tables]).unwrap_err();
        assert!(
            matches!(
                refused,
                StoreError::NewerSchema {
                    found: 2,
                    known: 1,
                    ..
                }
            ),
            "{refused}"
        );
    }
}
