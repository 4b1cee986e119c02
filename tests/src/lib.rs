//! Empty: cargo wants a package to have a target that is not a test.
