//! The host bindings of the contract, generated from `sdk/wit`. Each version has its own module.

/// Contract 0.3.0, the current one.
pub mod v0_3 {
    /// The world of retry policies, and the interfaces that all worlds share.
    pub mod retry {
        wasmtime::component::bindgen!({
            world: "retry-with-response",
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
                "tidegate:policy/settings-types@0.3.0": super::shared::settings_types,
                "tidegate:policy/figures@0.3.0": super::shared::figures,
                "tidegate:policy/log@0.3.0": super::shared::log,
                "tidegate:policy/metrics@0.3.0": super::shared::metrics,
                "tidegate:policy/limits@0.3.0": super::shared::limits,
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
                "tidegate:policy/settings-types@0.3.0": super::shared::settings_types,
                "tidegate:policy/figures@0.3.0": super::shared::figures,
                "tidegate:policy/log@0.3.0": super::shared::log,
                "tidegate:policy/metrics@0.3.0": super::shared::metrics,
                "tidegate:policy/limits@0.3.0": super::shared::limits,
            },
        });
    }

    /// The interfaces that all worlds share.
    pub use retry::tidegate::policy as shared;
}

/// Contract 0.2.0, whose guests still load. Types that did not change since are those of contract 0.3.0.
pub mod v0_2 {
    /// The world of retry policies, and the interfaces that all worlds share.
    pub mod retry {
        wasmtime::component::bindgen!({
            world: "retry",
            path: "wit/0.2.0",
            imports: { default: trappable },
            ownership: Borrowing { duplicate_if_necessary: false },
            with: {
                "tidegate:policy/settings-types@0.2.0": super::super::v0_3::shared::settings_types,
                "tidegate:policy/retry-types@0.2.0": super::super::v0_3::shared::retry_types,
                "tidegate:policy/figures@0.2.0": super::super::v0_3::shared::figures,
            },
        });
    }

    /// The world of alert conditions.
    pub mod alert {
        wasmtime::component::bindgen!({
            world: "alert",
            path: "wit/0.2.0",
            imports: { default: trappable },
            ownership: Borrowing { duplicate_if_necessary: false },
            with: {
                "tidegate:policy/settings-types@0.2.0": super::super::v0_3::shared::settings_types,
                "tidegate:policy/alert-types@0.2.0": super::super::v0_3::alert::tidegate::policy::alert_types,
                "tidegate:policy/figures@0.2.0": super::super::v0_3::shared::figures,
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
            path: "wit/0.2.0",
            imports: { default: trappable },
            ownership: Borrowing { duplicate_if_necessary: false },
            with: {
                "tidegate:policy/settings-types@0.2.0": super::super::v0_3::shared::settings_types,
                "tidegate:policy/admit-types@0.2.0": super::super::v0_3::admit::tidegate::policy::admit_types,
                "tidegate:policy/figures@0.2.0": super::super::v0_3::shared::figures,
                "tidegate:policy/log@0.2.0": super::shared::log,
                "tidegate:policy/metrics@0.2.0": super::shared::metrics,
                "tidegate:policy/limits@0.2.0": super::shared::limits,
            },
        });
    }

    /// The interfaces that all worlds share.
    pub use retry::tidegate::policy as shared;
}

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
