//! How many neighbours this host may have, and what follows from it.

use modmesh_protocol::limits::{
    CALLED_NEIGHBOURS_MAX, ERRANDS_PER_NEIGHBOUR_MAX, NEIGHBOURS_MAX, NEIGHBOURS_MIN,
};

/// The number of neighbours, from [`NEIGHBOURS_MIN`] to [`NEIGHBOURS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capacity(usize);

impl Capacity {
    /// At most so many neighbours; of a number out of bounds the bound.
    pub(super) fn new(neighbours: usize) -> Self {
        Self(neighbours.clamp(NEIGHBOURS_MIN, NEIGHBOURS_MAX))
    }

    /// All neighbours together.
    pub(super) fn neighbours(self) -> usize {
        self.0
    }

    /// Neighbours beyond which unproven ones are turned away: an eighth is kept for proven ones.
    pub(super) fn unproven(self) -> usize {
        self.0 - self.0 / 8
    }

    /// Neighbours from which on no others are called but those that are given.
    pub(super) fn called(self) -> usize {
        self.0 * CALLED_NEIGHBOURS_MAX / NEIGHBOURS_MAX
    }

    /// Hosts that are called on errands, and others that call on errands, at the same time.
    pub(super) fn errands(self) -> usize {
        self.0 * ERRANDS_PER_NEIGHBOUR_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_house_is_divided_alike() {
        let parts = |most| {
            let capacity = Capacity::new(most);
            (
                capacity.neighbours(),
                capacity.unproven(),
                capacity.called(),
                capacity.errands(),
            )
        };
        assert_eq!(parts(NEIGHBOURS_MAX), (128, 112, 104, 384));
        assert_eq!(parts(usize::MAX), parts(NEIGHBOURS_MAX));
        assert_eq!(parts(16), (16, 14, 13, 48));
        assert_eq!(parts(0), (4, 4, 3, 12));
    }
}
