//! Who is a member of a mesh: the secret, the proof that it is known, and what two hosts make of each other's first words.
//!
//! A host is *closed* when it has a mesh secret or a list of members; then it deals with members alone. A member proves the
//! secret (`membership/proof.rs`) or is on the list, and the handshake has proven its name before. Two closed hosts are members of each
//! other only when each takes the other for one; an open host and a closed one have nothing to do with each other.
//!
//! Absent on purpose: anything that expires. A secret is taken back by rotation, a name by taking it off the list.

mod greeting;
mod proof;
mod saying;
mod secret;
mod statement;

pub use greeting::{Refusal, Rules, Verdict, Words};
pub use proof::{PROOF_BYTES, Proof, Role};
pub use saying::{Saying, is_worth_saying};
pub use secret::{
    SECRET_BYTES, SECRET_FILE_BYTES_MAX, SECRET_PREFIX, SECRETS_MAX, Secret, Secrets, SecretsError,
};
pub use statement::{SIGNATURE_BYTES, Statement};
