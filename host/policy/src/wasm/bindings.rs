//! The host's half of the contract, generated from `sdk/wit`.

/// The world of retry classifiers.
pub mod retry {
    wasmtime::component::bindgen!({
        world: "retry",
        path: "wit",
        // A failure is passed by reference: a verdict clones none of its texts.
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

/// The world of alert conditions.
pub mod alert {
    wasmtime::component::bindgen!({
        world: "alert",
        path: "wit",
        imports: { "tidegate:policy/metrics.window": trappable },
    });
}
