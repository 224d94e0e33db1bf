//! Mutants of module zips, the same in every run: what the zip grammars are held against Go's with.
//!
//! Mutant number N depends on N and on this code alone, not on any library, so that verdicts can be recorded. A change of
//! anything here makes new mutants, and `MODMESH_JUDGE=record` must be run; the recording knows by a hash.

pub mod changes;
pub mod model;
pub mod random;
pub mod seeds;
pub mod stream;
pub mod structure;

use random::Random;

/// How many there are.
pub const COUNT: usize = 100_000;

/// A zip, and the module version (`path@version`) that it is judged for.
pub struct Mutant {
    pub of: String,
    pub bytes: Vec<u8>,
}

/// Makes mutants from the seeds.
pub struct Nursery(Vec<model::Zip>);

impl Nursery {
    pub fn new() -> Self {
        Self(seeds::all())
    }

    /// The first are the seeds themselves, as they are.
    pub fn mutant(&self, number: usize) -> Mutant {
        let mut random = Random::new(number as u64);
        let seed = if number < self.0.len() {
            number
        } else {
            random.below(self.0.len())
        };
        let mut zip = self.0[seed].clone();
        let mut scrambles = 0;
        if number >= self.0.len() {
            let changes = [1, 1, 1, 1, 2, 2, 3, 0][random.below(8)];
            for _ in 0..changes {
                if !zip.entries.is_empty() {
                    changes::change(&mut random, &mut zip);
                }
            }
            scrambles = if changes == 0 {
                1 + random.below(3)
            } else {
                usize::from(random.once_in(16))
            };
        }
        let mut bytes = zip.write();
        for _ in 0..scrambles {
            changes::scramble(&mut random, &mut bytes);
        }
        if random.once_in(200) && number >= self.0.len() {
            zip.of = "example.com/other@v1.0.0".to_owned();
        }
        Mutant { of: zip.of, bytes }
    }
}
