//! What every service shares: configuration from the environment, HTTP serving, health, metrics, shutdown.
//!
//! A service reads its settings with [`mod@env`], binds with [`listen()`], puts its routes and those of [`actuator`] together and
//! gives them to [`serve()`], which answers everything else as the original's framework would.

pub mod actuator;
pub mod crash;
pub mod disk;
pub mod env;
pub mod error;
pub mod extract;
pub mod front;
pub mod health;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod origin;
pub mod serve;
pub mod shutdown;
pub mod surface;
pub mod tls;

mod cors;

pub use front::{Door, Front, FrontNames};
pub use listen::{ListenError, listen};
pub use origin::Origin;
pub use serve::{serve, serve_with, text};
pub use shutdown::Shutdown;
pub use surface::{Slashes, Surface};
