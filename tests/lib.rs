//! Code that the tests share with the programs that they start.

pub mod attack;
pub mod corpus;
