//! What strangers can send, thrown at the code that reads it: a module a fuzz target, and in each `run`, which panics where a promise is
//! broken. The tests of the crates that are aimed at run the same functions over `corpus/`.

pub mod challenge;
pub mod json;
pub mod jwt;
pub mod sockjs;
pub mod stomp;
pub mod upload;
