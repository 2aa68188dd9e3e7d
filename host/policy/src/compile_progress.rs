//! The progress of compilations.

/// The progress of the compilation of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "wasm"), allow(dead_code, reason = "only components are compiled"))]
pub enum CompileProgress {
    /// The file can be loaded without delay.
    Ready,
    /// The compilation takes long, and this call started it.
    Started,
    /// The compilation takes long, and an earlier call started it.
    InProgress,
}
