//! Instants at which a process can be killed by a test: each is named where it lies in the code, right before or after
//! something becomes durable or visible.
//!
//! Without the feature `crash-points`, which no release is built with, a point is nothing at all.

/// Stops here for ever when the environment says so, to be killed.
///
/// `WORKERPOOL_CRASH_AT` names the point, `name#n` its n-th time. The process says that it has stopped by making the file
/// that `WORKERPOOL_CRASH_MARK` names; then this thread never goes on.
#[inline]
pub fn point(name: &'static str) {
    #[cfg(feature = "crash-points")]
    armed::point(name);
    #[cfg(not(feature = "crash-points"))]
    let _ = name;
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ORDER: LazyLock<Option<Order>> = LazyLock::new(|| {
        Order::read(
            std::env::var("WORKERPOOL_CRASH_AT").ok(),
            std::env::var_os("WORKERPOOL_CRASH_MARK"),
        )
    });

    pub(super) fn point(name: &str) {
        let Some(order) = ORDER.as_ref() else { return };
        if order.is_now(name) {
            order.leave_mark(name);
            loop {
                std::thread::park();
            }
        }
    }

    pub(super) struct Order {
        name: String,
        time: u64,
        mark: Option<PathBuf>,
        passed: AtomicU64,
    }

    impl Order {
        pub(super) fn read(at: Option<String>, mark: Option<std::ffi::OsString>) -> Option<Self> {
            let at = at.filter(|at| !at.is_empty())?;
            let (name, time) = match at.rsplit_once('#') {
                Some((name, time)) => (name.to_owned(), time.parse().ok()?),
                None => (at, 1),
            };
            Some(Self {
                name,
                time,
                mark: mark.map(PathBuf::from),
                passed: AtomicU64::new(0),
            })
        }

        /// Whether this is the time; counts the times before and after.
        pub(super) fn is_now(&self, name: &str) -> bool {
            name == self.name && self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.time
        }

        pub(super) fn leave_mark(&self, name: &str) {
            if let Some(mark) = &self.mark
                && let Err(error) = std::fs::write(mark, name)
            {
                tracing::error!(mark = %mark.display(), %error, "the mark of a crash point cannot be written");
            }
        }
    }
}

#[cfg(all(test, feature = "crash-points"))]
mod tests {
    use super::armed::Order;

    #[test]
    fn a_point_stops_at_its_time_and_at_no_other() {
        let order = Order::read(Some("commit#3".to_owned()), None).unwrap();
        let times: Vec<_> = (0..5).map(|_| order.is_now("commit")).collect();
        assert_eq!(times, [false, false, true, false, false]);
        assert!(!order.is_now("answer"));
        assert!(
            Order::read(Some("commit".to_owned()), None)
                .unwrap()
                .is_now("commit")
        );
    }

    #[test]
    fn nothing_stops_unless_told() {
        assert!(Order::read(None, None).is_none());
        assert!(Order::read(Some(String::new()), None).is_none());
        assert!(Order::read(Some("commit#soon".to_owned()), None).is_none());
    }

    #[test]
    fn the_mark_names_the_point() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let order = Order::read(Some("commit".to_owned()), Some(mark.clone().into())).unwrap();
        order.leave_mark("commit");
        assert_eq!(std::fs::read_to_string(mark).unwrap(), "commit");
    }
}
