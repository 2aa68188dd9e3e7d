//! The host bindings of the contract, generated from `sdk/wit`.

/// The world of retry policies, and the interfaces that all worlds share.
pub mod retry {
    wasmtime::component::bindgen!({
        world: "retry",
        path: "wit",
        imports: { default: trappable },
        // Inputs are passed by reference, so that a call copies none of their strings.
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

/// The world of alert conditions.
pub mod alert {
    wasmtime::component::bindgen!({
        world: "alert",
        path: "wit",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: {
            "tidegate:policy/settings-types@0.2.0": super::shared::settings_types,
            "tidegate:policy/figures@0.2.0": super::shared::figures,
            "tidegate:policy/log@0.2.0": super::shared::log,
            "tidegate:policy/metrics@0.2.0": super::shared::metrics,
            "tidegate:policy/limits@0.2.0": super::shared::limits,
        },
    });
}

/// The world of admission policies.
pub mod admit {
    wasmtime::component::bindgen!({
        world: "admit",
        path: "wit",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: {
            "tidegate:policy/settings-types@0.2.0": super::shared::settings_types,
            "tidegate:policy/figures@0.2.0": super::shared::figures,
            "tidegate:policy/log@0.2.0": super::shared::log,
            "tidegate:policy/metrics@0.2.0": super::shared::metrics,
            "tidegate:policy/limits@0.2.0": super::shared::limits,
        },
    });
}

/// The interfaces that all worlds share.
pub use retry::tidegate::policy as shared;

/// Contract 0.1.0, whose guests still load.
pub mod v0_1 {
    /// The world of retry policies.
    pub mod retry {
        wasmtime::component::bindgen!({
            world: "retry",
            path: "wit/0.1.0",
            ownership: Borrowing { duplicate_if_necessary: false },
        });
    }

    /// The world of alert conditions.
    pub mod alert {
        wasmtime::component::bindgen!({
            world: "alert",
            path: "wit/0.1.0",
            imports: { default: trappable },
            ownership: Borrowing { duplicate_if_necessary: false },
        });
    }
}
