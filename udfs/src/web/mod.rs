//! Files behind http and https URLs, asked for exactly as the URLs are written.

mod addresses;
mod public;

pub use addresses::{Addresses, Allowed, NotAHost};
