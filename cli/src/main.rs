//! modmesh
fn main() {}
