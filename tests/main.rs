//! What tidegate promises, as tests over the whole.
mod alerts;
mod hostile_rhai;
mod hostile_wasm;
mod http;
mod layer;
mod limits;
mod policies;
mod reload;
