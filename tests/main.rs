//! What tidegate promises, as tests over the whole.
mod limits;
mod layer;
