//! Tokenisation.
