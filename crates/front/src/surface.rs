//! What can be called at all, by name: for the test that holds its matrix of callers against it. Nothing of the product
//! calls this.

/// Every method of JSON-RPC.
pub fn methods() -> Vec<&'static str> {
    crate::rpc::methods()
}

/// Every path of the API.
pub fn paths() -> Vec<&'static str> {
    crate::route::paths()
}
