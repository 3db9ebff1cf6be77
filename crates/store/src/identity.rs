//! Whose data a folder holds. A folder is made for one role on one chain and hub, and for one workerpool where the role serves one;
//! opening it as anything else is refused before a byte is written.

use std::path::Path;

use alloy_primitives::Address;
use rusqlite::{Connection, OptionalExtension};

use crate::StoreError;

/// Whose data a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The role that keeps its data here, such as `scheduler`, `worker`, `result-proxy`.
    pub role: String,
    /// The chain's id.
    pub chain_id: u64,
    /// The hub contract.
    pub hub: Address,
    /// The workerpool contract, for roles that serve one.
    pub pool: Option<Address>,
}

impl Identity {
    /// Writes the identity into a fresh database, or compares it with the one that is there.
    pub(crate) fn claim(&self, connection: &Connection, folder: &Path) -> Result<(), StoreError> {
        let fail = |source| StoreError::of(folder, source);
        let there: Option<(String, String, String, String)> = connection
            .query_row(
                "SELECT role, chain_id, hub, pool FROM identity",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )
            .optional()
            .map_err(fail)?;
        let mine = self.columns();
        let Some(there) = there else {
            connection
                .execute(
                    "INSERT INTO identity (one, role, chain_id, hub, pool) VALUES (1, ?1, ?2, ?3, ?4)",
                    (&mine.0, &mine.1, &mine.2, &mine.3),
                )
                .map_err(fail)?;
            return Ok(());
        };
        for (what, found, wanted) in [
            ("role", there.0, mine.0),
            ("chain", there.1, mine.1),
            ("hub", there.2, mine.2),
            ("workerpool", there.3, mine.3),
        ] {
            if found != wanted {
                return Err(StoreError::OtherOwner {
                    folder: folder.to_path_buf(),
                    what,
                    found,
                    wanted,
                });
            }
        }
        Ok(())
    }

    /// The text forms under which the identity is stored: addresses in lower case, no pool as a dash.
    fn columns(&self) -> (String, String, String, String) {
        let lower = |address: &Address| format!("{address:#x}");
        (
            self.role.clone(),
            self.chain_id.to_string(),
            lower(&self.hub),
            self.pool.as_ref().map_or_else(|| "-".to_owned(), lower),
        )
    }
}
