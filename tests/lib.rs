//! Code that the tests share with the programs that they start.

pub mod attack;
pub mod corpus;

/// The examples of the manual; rustdoc compiles them.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Manual;
