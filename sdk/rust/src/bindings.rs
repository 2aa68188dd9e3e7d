//! The guest side of the contract, generated from `sdk/wit`.

#![allow(
    missing_docs,
    unused_qualifications,
    clippy::too_many_arguments,
    reason = "generated; the crate root documents what guests use"
)]
#![allow(unsafe_code, reason = "generated; host and guest exchange values as raw memory")]

/// The host functions that every policy can call.
pub mod host {
    wit_bindgen::generate!({
        world: "host",
        path: "wit",
        additional_derives: [PartialEq],
    });
}

/// The world of retry policies. The linker drops the imports that a policy does not use.
pub mod retry {
    wit_bindgen::generate!({
        world: "retry-with-response",
        path: "wit",
        additional_derives: [PartialEq],
        with: {
            "tidegate:policy/log@0.3.0": crate::__private::bindings::host::tidegate::policy::log,
            "tidegate:policy/figures@0.3.0": crate::__private::bindings::host::tidegate::policy::figures,
            "tidegate:policy/metrics@0.3.0": crate::__private::bindings::host::tidegate::policy::metrics,
            "tidegate:policy/limits@0.3.0": crate::__private::bindings::host::tidegate::policy::limits,
        },
        // The guest crate expands the export macro. If this crate did it, each guest would have to export all worlds.
        pub_export_macro: true,
        export_macro_name: "export_retry_world",
        default_bindings_module: "tidegate_sdk::__private::bindings::retry",
    });
}

/// The world of alert conditions.
pub mod alert {
    wit_bindgen::generate!({
        world: "alert",
        path: "wit",
        additional_derives: [PartialEq],
        with: {
            "tidegate:policy/settings-types@0.3.0": crate::__private::bindings::retry::tidegate::policy::settings_types,
            "tidegate:policy/log@0.3.0": crate::__private::bindings::host::tidegate::policy::log,
            "tidegate:policy/figures@0.3.0": crate::__private::bindings::host::tidegate::policy::figures,
            "tidegate:policy/metrics@0.3.0": crate::__private::bindings::host::tidegate::policy::metrics,
            "tidegate:policy/limits@0.3.0": crate::__private::bindings::host::tidegate::policy::limits,
        },
        pub_export_macro: true,
        export_macro_name: "export_alert_world",
        default_bindings_module: "tidegate_sdk::__private::bindings::alert",
    });
}

/// The world of admission policies.
pub mod admit {
    wit_bindgen::generate!({
        world: "admit",
        path: "wit",
        additional_derives: [PartialEq],
        with: {
            "tidegate:policy/settings-types@0.3.0": crate::__private::bindings::retry::tidegate::policy::settings_types,
            "tidegate:policy/log@0.3.0": crate::__private::bindings::host::tidegate::policy::log,
            "tidegate:policy/figures@0.3.0": crate::__private::bindings::host::tidegate::policy::figures,
            "tidegate:policy/metrics@0.3.0": crate::__private::bindings::host::tidegate::policy::metrics,
            "tidegate:policy/limits@0.3.0": crate::__private::bindings::host::tidegate::policy::limits,
        },
        pub_export_macro: true,
        export_macro_name: "export_admit_world",
        default_bindings_module: "tidegate_sdk::__private::bindings::admit",
    });
}
