//! The language of modmesh.
