//! policies/guests/pdd
