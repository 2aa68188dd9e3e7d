//! The host's half of the contract, generated from `sdk/wit`.

/// The world of retry classifiers, and what all worlds share.
pub mod retry {
    wasmtime::component::bindgen!({
        world: "retry",
        path: "wit",
        imports: { default: trappable },
        // A failure is passed by reference: a verdict clones none of its texts.
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

/// What the worlds have in common.
pub use retry::tidegate::policy as shared;

/// Contract 0.1.0, whose guests keep loading.
pub mod v0_1 {
    /// The world of retry classifiers.
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
