//! What hosts of one site say to each other about their upstream: places in the line, and that an upstream wants to rest.

use super::Class;
use crate::wire::{Decode, Encode};

/// Requests, by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Load {
    /// For anything but zips.
    pub small: u16,
    /// For zips.
    pub zips: u16,
}

/// One question about the upstream; one [`LineAnswer`] follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum LineQuestion {
    /// "How many requests may I have under way?" To the one that keeps the line.
    Places(PlacesAsked),
    /// Among members: "This entry has told me to leave it alone", or that it answers again.
    Rest {
        /// The entry: [`KeyHash::of_list`](crate::artifact::KeyHash::of_list) of its URL.
        entry: [u8; 32],
        /// For how long, in milliseconds; 0 when it answered.
        rest_ms: u32,
    },
}

/// What is said to the one that keeps the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PlacesAsked {
    /// Larger with every question of a host: what comes late counts for nothing.
    pub serial: u64,
    /// The cap that the asker keeps to.
    pub most: u16,
    /// What it has under way.
    pub holds: Load,
    /// What waits besides.
    pub wants: Load,
}

/// What is answered to a [`LineQuestion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum LineAnswer {
    /// To [`LineQuestion::Places`].
    Places(PlacesTold),
    /// To [`LineQuestion::Rest`], whatever is made of it.
    Heard,
}

/// What the one that keeps the line answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PlacesTold {
    /// What the asker may have under way from now on, in all. What it has beyond that it ends, and begins nothing.
    pub may: Load,
    /// When it is to ask again for what it did not get, in milliseconds.
    pub ask_again_ms: u32,
    /// The smallest cap of those in the line, which is kept to.
    pub most: u16,
    /// How many hosts are in the line.
    pub hosts: u16,
}

impl Load {
    /// Of one class.
    pub fn of(self, class: Class) -> u16 {
        match class {
            Class::Small => self.small,
            Class::Zip => self.zips,
        }
    }

    /// Of one class, to be changed.
    pub fn of_mut(&mut self, class: Class) -> &mut u16 {
        match class {
            Class::Small => &mut self.small,
            Class::Zip => &mut self.zips,
        }
    }

    /// Both together.
    pub fn sum(self) -> u16 {
        self.small.saturating_add(self.zips)
    }

    /// Of each class the smaller of the two.
    pub fn min(self, other: Self) -> Self {
        Self {
            small: self.small.min(other.small),
            zips: self.zips.min(other.zips),
        }
    }

    /// Of each class the larger of the two.
    pub fn max(self, other: Self) -> Self {
        Self {
            small: self.small.max(other.small),
            zips: self.zips.max(other.zips),
        }
    }
}
