//! Wasm policies: components that are compiled once, run on warm instances, and are bounded by deadlines and limits.
//!
//! A policy is a component of a world in `sdk/wit`, or a core module with such a component's metadata. Every call runs
//! on an instance with its own store. After a fault the instance is dropped, because a trap leaves its memory in an
//! unknown state. After a success it is kept warm for the next call.

mod bindings;
mod budget;
mod cache;
mod call;
mod compiler;
mod contract;
mod engine;
mod engine_config;
mod guest;
mod inputs;
mod limits;
mod policy;
mod pool;
mod state;
mod text;
mod ticks;
mod v0_1;
mod v0_2;
mod v0_3;
mod versions;

pub use compiler::WasmBinary;
pub use engine::WasmEngine;
