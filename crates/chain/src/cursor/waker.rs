//! What ends a cursor's rest, and tells it of new blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::Head;

/// Ends a cursor's rest early. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct CursorWaker(Arc<Waking>);

#[derive(Debug, Default)]
struct Waking {
    notify: Notify,
    /// Blocks the cursor was told of, in order; a plain wake leaves none.
    told: Mutex<Option<Vec<Head>>>,
}

/// Headers kept for a cursor that is busy; it reads the range itself when there are more.
const MOST_TOLD: usize = 64;

impl CursorWaker {
    /// There may be something new: look now. Never makes the cursor believe anything.
    pub fn wake(&self) {
        *self.told() = Some(Vec::new());
        self.0.notify.notify_one();
    }

    /// There is this block. The cursor, told of every block, need not ask for those in which nothing of its own can have happened, and
    /// asks for no head of its own as long as it is told.
    pub fn tell(&self, head: Head) {
        let mut told = self.told();
        let heads = told.get_or_insert_default();
        if heads.len() >= MOST_TOLD {
            heads.clear();
        }
        heads.push(head);
        drop(told);
        self.0.notify.notify_one();
    }

    /// What was told since the last time; a plain wake tells nothing.
    pub(super) fn take(&self) -> Option<Vec<Head>> {
        self.told().take()
    }

    /// Resolves at the next wake, or at once when there was one.
    pub(super) async fn woken(&self) {
        self.0.notify.notified().await;
    }

    fn told(&self) -> MutexGuard<'_, Option<Vec<Head>>> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
