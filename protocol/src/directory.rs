//! Who said to have what: key hashes to the neighbours that announced them.
//!
//! A hint and nothing more: it orders whom to ask, it never decides that a file is here or not. Always bounded: in keys, in
//! holders per key, in keys per neighbour and in neighbours, so that the loudest talker loses its own oldest words first.
//! Pure: no clock, no network. "Oldest" is the order in which a neighbour announced.

use std::collections::{HashMap, VecDeque};

use crate::artifact::KeyHash;
use crate::limits::{
    DIRECTORY_HOLDERS_MAX, DIRECTORY_KEYS_MAX, DIRECTORY_KEYS_PER_PEER_MAX, DIRECTORY_PEERS_MAX,
};
use crate::peer_name::PeerName;

/// The bounds of a [`Directory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryBounds {
    /// Keys in all.
    pub keys_max: usize,
    /// Holders of one key.
    pub holders_max: usize,
    /// Keys of one neighbour.
    pub keys_per_peer_max: usize,
    /// Neighbours.
    pub peers_max: usize,
}

impl Default for DirectoryBounds {
    fn default() -> Self {
        Self {
            keys_max: DIRECTORY_KEYS_MAX,
            holders_max: DIRECTORY_HOLDERS_MAX,
            keys_per_peer_max: DIRECTORY_KEYS_PER_PEER_MAX,
            peers_max: DIRECTORY_PEERS_MAX,
        }
    }
}

/// The announcements heard, bounded.
#[derive(Debug, Default)]
pub struct Directory {
    bounds: DirectoryBounds,
    /// Holders of each key as slots, the latest to announce last. Never empty.
    holders: HashMap<KeyHash, Vec<u32>>,
    /// Slot of each neighbour.
    slots: HashMap<PeerName, u32>,
    /// What each neighbour said, by slot.
    talkers: HashMap<u32, Talker>,
    next_slot: u32,
}

/// One neighbour and its words.
#[derive(Debug)]
struct Talker {
    name: PeerName,
    /// Its keys, oldest first. May hold keys that were withdrawn since; each is removed when its turn comes.
    said: VecDeque<KeyHash>,
}

impl Directory {
    /// An empty directory with the given bounds.
    pub fn new(bounds: DirectoryBounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    /// Notes that `peer` has `keys`. What exceeds a bound pushes out older words; a neighbour too many is not heard.
    pub fn announce(&mut self, peer: &PeerName, keys: impl IntoIterator<Item = KeyHash>) {
        let Some(slot) = self.slot(peer) else { return };
        for key in keys {
            self.add(slot, key);
        }
    }

    /// Neighbours that announced `key`, the latest first.
    pub fn holders(&self, key: &KeyHash) -> Vec<PeerName> {
        let slots = self.holders.get(key).map_or(&[][..], Vec::as_slice);
        let names = slots.iter().rev().filter_map(|s| self.talkers.get(s));
        names.map(|talker| talker.name.clone()).collect()
    }

    /// Notes that `peer` was asked for `key` and did not have it.
    pub fn missed(&mut self, peer: &PeerName, key: &KeyHash) {
        if let Some(slot) = self.slots.get(peer) {
            remove_holder(&mut self.holders, *slot, key);
        }
    }

    /// Drops all that `peer` said: it left or lied.
    pub fn forget(&mut self, peer: &PeerName) {
        let Some(slot) = self.slots.remove(peer) else {
            return;
        };
        if let Some(talker) = self.talkers.remove(&slot) {
            for key in &talker.said {
                remove_holder(&mut self.holders, slot, key);
            }
        }
    }

    /// Drops all that the one said that has been heard of for longest.
    pub fn forget_eldest(&mut self) {
        let eldest = self.slots.iter().min_by_key(|(_, slot)| **slot);
        if let Some(eldest) = eldest.map(|(peer, _)| peer.clone()) {
            self.forget(&eldest);
        }
    }

    /// Whether `peer` is known, or there is room for it.
    pub fn hears(&self, peer: &PeerName) -> bool {
        self.slots.contains_key(peer) || self.slots.len() < self.bounds.peers_max
    }

    /// Number of keys with at least one holder.
    pub fn keys(&self) -> usize {
        self.holders.len()
    }

    /// Number of neighbours that said anything since they came.
    pub fn peers(&self) -> usize {
        self.slots.len()
    }

    fn slot(&mut self, peer: &PeerName) -> Option<u32> {
        if let Some(slot) = self.slots.get(peer) {
            return Some(*slot);
        }
        if self.slots.len() >= self.bounds.peers_max {
            return None;
        }
        // Four thousand million neighbours come and go before a number returns; those in use are skipped even then.
        while self.talkers.contains_key(&self.next_slot) {
            self.next_slot = self.next_slot.wrapping_add(1);
        }
        let slot = self.next_slot;
        self.next_slot = self.next_slot.wrapping_add(1);
        self.slots.insert(peer.clone(), slot);
        let said = VecDeque::new();
        let name = peer.clone();
        self.talkers.insert(slot, Talker { name, said });
        Some(slot)
    }

    fn add(&mut self, slot: u32, key: KeyHash) {
        let holders = self.holders.entry(key).or_default();
        if holders.contains(&slot) {
            return;
        }
        if holders.len() >= self.bounds.holders_max {
            holders.remove(0);
        }
        holders.push(slot);
        let mut talks_too_much = false;
        if let Some(talker) = self.talkers.get_mut(&slot) {
            talker.said.push_back(key);
            talks_too_much = talker.said.len() > self.bounds.keys_per_peer_max;
        }
        if talks_too_much {
            self.drop_oldest_of(slot);
        }
        while self.holders.len() > self.bounds.keys_max {
            let loudest = self.talkers.iter().max_by_key(|(_, t)| t.said.len());
            let Some(loudest) = loudest.map(|(slot, _)| *slot) else {
                return;
            };
            if !self.drop_oldest_of(loudest) {
                return;
            }
        }
    }

    /// Takes back the oldest word of a neighbour; whether there was one.
    fn drop_oldest_of(&mut self, slot: u32) -> bool {
        let oldest = self.talkers.get_mut(&slot).and_then(|t| t.said.pop_front());
        if let Some(key) = oldest {
            remove_holder(&mut self.holders, slot, &key);
        }
        oldest.is_some()
    }
}

fn remove_holder(holders: &mut HashMap<KeyHash, Vec<u32>>, slot: u32, key: &KeyHash) {
    if let Some(slots) = holders.get_mut(key) {
        slots.retain(|held| *held != slot);
        if slots.is_empty() {
            holders.remove(key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn key(number: u16) -> KeyHash {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        KeyHash(bytes)
    }

    fn peer(number: u8) -> PeerName {
        let letter = char::from(b'a' + number);
        letter.to_string().parse().unwrap()
    }

    fn small() -> Directory {
        Directory::new(DirectoryBounds {
            keys_max: 8,
            holders_max: 2,
            keys_per_peer_max: 6,
            peers_max: 3,
        })
    }

    #[test]
    fn the_latest_to_announce_is_named_first() {
        let mut directory = Directory::default();
        assert_eq!(directory.holders(&key(1)), []);
        directory.announce(&peer(0), [key(1), key(1), key(2)]);
        directory.announce(&peer(1), [key(1)]);
        assert_eq!(directory.holders(&key(1)), [peer(1), peer(0)]);
        assert_eq!(directory.holders(&key(2)), [peer(0)]);
        assert_eq!((directory.keys(), directory.peers()), (2, 2));
    }

    #[test]
    fn who_left_is_forgotten_and_who_missed_is_not_named_for_it() {
        let mut directory = Directory::default();
        directory.announce(&peer(0), [key(1), key(2)]);
        directory.announce(&peer(1), [key(2)]);
        directory.missed(&peer(0), &key(2));
        directory.missed(&peer(2), &key(2));
        assert_eq!(directory.holders(&key(2)), [peer(1)]);
        directory.forget(&peer(1));
        directory.forget(&peer(1));
        assert_eq!((directory.keys(), directory.peers()), (1, 1));
        directory.announce(&peer(0), [key(2)]);
        assert_eq!(directory.holders(&key(2)), [peer(0)]);
    }

    #[test]
    fn a_key_has_a_bounded_number_of_holders_the_oldest_goes() {
        let mut directory = small();
        for number in 0..3 {
            directory.announce(&peer(number), [key(1)]);
        }
        assert_eq!(directory.holders(&key(1)), [peer(2), peer(1)]);
    }

    #[test]
    fn a_talker_loses_its_own_oldest_words() {
        let mut directory = small();
        directory.announce(&peer(0), (0..7).map(key));
        assert_eq!(directory.holders(&key(0)), []);
        assert_eq!(directory.keys(), 6);
        directory.announce(&peer(1), [key(100), key(101), key(102)]);
        assert_eq!(directory.keys(), 8);
        assert_eq!(directory.holders(&key(1)), []);
        assert_eq!(directory.holders(&key(100)), [peer(1)]);
    }

    #[test]
    fn a_neighbour_too_many_is_not_heard_until_one_leaves() {
        let mut directory = small();
        for number in 0..4 {
            directory.announce(&peer(number), [key(number.into())]);
        }
        assert_eq!(directory.holders(&key(3)), []);
        directory.forget(&peer(0));
        directory.announce(&peer(3), [key(3)]);
        assert_eq!(directory.holders(&key(3)), [peer(3)]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Announce(u8, Vec<u16>),
        Missed(u8, u16),
        Forget(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..5u8, prop::collection::vec(0..20u16, 0..10)).prop_map(|(p, k)| Step::Announce(p, k)),
            2 => (0..5u8, 0..20u16).prop_map(|(p, k)| Step::Missed(p, k)),
            1 => (0..5u8).prop_map(Step::Forget),
        ]
    }

    proptest! {
        #[test]
        fn it_names_only_those_who_said_so_and_keeps_its_bounds(
            steps in prop::collection::vec(step(), 0..60)
        ) {
            let mut directory = small();
            let mut said: BTreeMap<u16, BTreeSet<PeerName>> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Announce(p, keys) => {
                        directory.announce(&peer(p), keys.iter().copied().map(key));
                        for k in keys {
                            said.entry(k).or_default().insert(peer(p));
                        }
                    }
                    Step::Missed(p, k) => {
                        directory.missed(&peer(p), &key(k));
                        said.entry(k).or_default().remove(&peer(p));
                    }
                    Step::Forget(p) => {
                        directory.forget(&peer(p));
                        said.values_mut().for_each(|who| { who.remove(&peer(p)); });
                    }
                }
                prop_assert!(directory.keys() <= 8 && directory.peers() <= 3);
                let words: usize = directory.talkers.values().map(|t| t.said.len()).sum();
                prop_assert!(words <= 18);
                for k in 0..20 {
                    let holders = directory.holders(&key(k));
                    prop_assert!(holders.len() <= 2);
                    let known = said.get(&k).cloned().unwrap_or_default();
                    prop_assert!(holders.iter().all(|h| known.contains(h)));
                }
            }
        }
    }
}
