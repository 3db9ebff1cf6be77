//! The protocol between services: statuses, messages, and one typed client a service.
//!
//! What crosses the wire has the exact shape of the original (spec scheduler-api §5, result-proxy §3): names, order and
//! nulls as the Java programs write them, and as lenient on what comes in as they are. Nothing here decides anything.

pub mod adapter;
pub mod config;
pub mod date;
pub mod duration;
pub mod error;
pub mod events;
pub mod features;
pub mod message;
pub mod reach;
pub mod registry;
pub mod result_proxy;
pub mod scheduler;
pub mod sms;
pub mod sockjs;
pub mod status;
pub mod stomp;
pub mod token;

mod http;
mod lenient;

pub use error::{ClientError, Kind};
pub use features::Features;
pub use http::shown;
pub use reach::Reach;
pub use token::Token;
