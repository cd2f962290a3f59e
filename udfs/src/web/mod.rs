//! Files behind http and https URLs, asked for exactly as the URLs are written.
//!
//! A [`Client`] keeps to a policy of [`Addresses`]: each host is checked, those of redirects too, and what is connected
//! to is the address that was checked.

mod addresses;
mod answer;
mod client;
mod decode;
mod error;
mod public;
mod resolve;
mod retry;
#[cfg(test)]
pub(crate) mod test_server;

pub use addresses::{Addresses, Allowed, NotAHost};
pub use answer::{Answer, Body};
pub use client::Client;
pub use error::WebError;
pub use retry::retried;

#[cfg(test)]
mod tests;
