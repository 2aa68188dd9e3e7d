//! The guest's half of the contract, generated from `sdk/wit`.

#![allow(missing_docs, unused_qualifications, reason = "generated; the crate's root says what guests use")]
#![allow(unsafe_code, reason = "generated; values cross between host and guest as raw memory")]

/// The world of retry classifiers.
pub mod retry {
    wit_bindgen::generate!({
        world: "retry",
        path: "wit",
        additional_derives: [PartialEq],
        // Exporting is the guest crate's part: what stands here must not demand that a guest has both worlds' exports.
        pub_export_macro: true,
        export_macro_name: "export_retry_world",
        default_bindings_module: "tidegate_sdk::bindings::retry",
    });
}

/// The world of alert conditions.
pub mod alert {
    wit_bindgen::generate!({
        world: "alert",
        path: "wit",
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_alert_world",
        default_bindings_module: "tidegate_sdk::bindings::alert",
    });
}
