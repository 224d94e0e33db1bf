//! One host in the line: what it has under way, what waits, and when it is to ask.
//!
//! While a question is under way nothing is begun beyond what it said, for its answer may take back what was promised before.
//! A promise is counted from the moment of the question, so that it is over here before it is over where it was given.

use std::time::Duration;

use super::{Class, LEASE, LINGER, Load, PlacesAsked, PlacesTold, RENEW_EVERY, zips_of};

/// How much earlier than for the gatekeeper a promise is over here.
const MARGIN: Duration = Duration::from_millis(250);
/// The least time between two questions.
const GAP: Duration = Duration::from_millis(10);
/// The longest that a gatekeeper may have us wait before we ask again.
const ASK_AGAIN_MAX: Duration = RENEW_EVERY;

/// A host that keeps to a cap together with others.
#[derive(Debug)]
pub struct Guest {
    most: u16,
    using: Load,
    waiting: Load,
    /// Since when each class was given nothing although it waits.
    in_vain_since: [Option<Duration>; 2],
    may: Load,
    valid_until: Duration,
    serial: u64,
    /// The question that is under way.
    asked: Option<(PlacesAsked, Duration)>,
    /// What was said last and heard.
    told: Option<PlacesAsked>,
    sent_at: Option<Duration>,
    ask_again_at: Duration,
    /// When something was used last.
    used_at: Duration,
    effective: Option<u16>,
}

impl Guest {
    /// With a cap of its own. `serial` is larger than that of any question of this host before its last start.
    pub fn new(most: u16, serial: u64) -> Self {
        Self {
            most: most.max(1),
            using: Load::default(),
            waiting: Load::default(),
            in_vain_since: [None; 2],
            may: Load::default(),
            valid_until: Duration::ZERO,
            serial,
            asked: None,
            told: None,
            sent_at: None,
            ask_again_at: Duration::ZERO,
            used_at: Duration::ZERO,
            effective: None,
        }
    }

    /// A request waits for a place.
    pub fn wait(&mut self, now: Duration, class: Class) {
        let waiting = self.waiting.of_mut(class);
        *waiting = waiting.saturating_add(1);
        self.in_vain_since[at(class)].get_or_insert(now);
    }

    /// One does not wait any more: it has a place, or is gone.
    pub fn wait_no_more(&mut self, class: Class) {
        let waiting = self.waiting.of_mut(class);
        *waiting = waiting.saturating_sub(1);
        if *waiting == 0 {
            self.in_vain_since[at(class)] = None;
        }
    }

    /// Takes a place for a request, if there is one.
    pub fn begin(&mut self, now: Duration, class: Class) -> bool {
        let is_free = self.using.of(class) < self.bound(now).of(class);
        if is_free {
            self.use_one(now, class);
        }
        is_free
    }

    /// Takes a place although none was given, where this host was given none for the longest time that it waits. True when so.
    pub fn begin_in_vain(&mut self, now: Duration, class: Class) -> bool {
        let since = self.in_vain_since[at(class)];
        let is_due = since.is_some_and(|since| now >= since + class.wait_max());
        if is_due {
            self.use_one(now, class);
        }
        is_due
    }

    /// A request ended.
    pub fn end(&mut self, now: Duration, class: Class) {
        let using = self.using.of_mut(class);
        *using = using.saturating_sub(1);
        self.used_at = now;
    }

    /// When the next question is due; nothing while one is under way or there is nothing to say. A moment that is past means now.
    pub fn due(&self, now: Duration) -> Option<Duration> {
        if self.asked.is_some() {
            return None;
        }
        let said = self.told.unwrap_or(NOTHING);
        let at_once = self.sent_at.map_or(now, |at| at + GAP);
        let bound = self.bound(now);
        let mut due: Option<Duration> = None;
        let mut at = |moment: Duration| due = Some(due.map_or(moment, |due| due.min(moment)));
        for class in Class::ALL {
            let (using, waiting) = (self.using.of(class), self.waiting.of(class));
            let may = bound.of(class);
            if waiting > 0 && using >= may {
                match said.wants.of(class) {
                    0 => at(at_once),
                    _ => at(self.ask_again_at),
                }
            }
            // Others wait for what ended here.
            if may < said.holds.of(class) && using < said.holds.of(class) {
                at(at_once);
            }
            if may > using.saturating_add(waiting) {
                at((self.used_at + LINGER).max(at_once));
            }
        }
        let is_known = said.holds.sum() > 0 || said.wants.sum() > 0 || bound.sum() > 0;
        if is_known || self.using.sum() > 0 {
            at(self.sent_at.map_or(now, |at| at + RENEW_EVERY));
        }
        due
    }

    /// When a request of this class is to go ahead without a place, if none comes before; nothing where none waits.
    pub fn in_vain_at(&self, class: Class) -> Option<Duration> {
        self.in_vain_since[at(class)].map(|since| since + class.wait_max())
    }

    /// The question, to be asked now.
    pub fn ask(&mut self, now: Duration) -> PlacesAsked {
        self.serial += 1;
        let asked = PlacesAsked {
            serial: self.serial,
            most: self.most,
            holds: self.using,
            wants: self.waiting,
        };
        self.asked = Some((asked, now));
        self.sent_at = Some(now);
        asked
    }

    /// The answer to the question of this serial.
    pub fn hear(&mut self, now: Duration, serial: u64, told: &PlacesTold) {
        let Some((asked, sent_at)) = self.asked.take_if(|(asked, _)| asked.serial == serial) else {
            return;
        };
        let zips = told.may.zips.min(zips_of(self.most));
        self.may = Load {
            small: told.may.small.min(self.most - zips),
            zips,
        };
        self.valid_until = (sent_at + LEASE).saturating_sub(MARGIN);
        let again = Duration::from_millis(told.ask_again_ms.into());
        self.ask_again_at = now + again.clamp(GAP, ASK_AGAIN_MAX);
        self.told = Some(asked);
        self.used_at = now;
        self.effective = Some(told.most.clamp(1, self.most));
    }

    /// No answer came to the question of this serial: it may have been heard all the same.
    pub fn lost(&mut self, serial: u64) {
        if let Some((asked, _)) = self.asked.take_if(|(asked, _)| asked.serial == serial) {
            self.may = self.may.min(asked.holds);
            self.told = None;
            self.ask_again_at = Duration::ZERO;
        }
    }

    /// What is under way, what waits, and what may be under way.
    pub fn load(&self, now: Duration) -> (Load, Load, Load) {
        (self.using, self.waiting, self.bound(now))
    }

    /// The cap of this host.
    pub fn most(&self) -> u16 {
        self.most
    }

    /// The smallest cap of those in the line, as the gatekeeper told last; nothing while there is none.
    pub fn effective(&self) -> Option<u16> {
        self.effective
    }

    fn use_one(&mut self, now: Duration, class: Class) {
        let using = self.using.of_mut(class);
        *using = using.saturating_add(1);
        self.used_at = now;
        if let Some(since) = &mut self.in_vain_since[at(class)] {
            *since = now;
        }
    }

    /// What may be under way now.
    fn bound(&self, now: Duration) -> Load {
        if now >= self.valid_until {
            return Load::default();
        }
        match &self.asked {
            Some((asked, _)) => self.may.min(asked.holds),
            None => self.may,
        }
    }
}

const NOTHING: PlacesAsked = PlacesAsked {
    serial: 0,
    most: 0,
    holds: Load { small: 0, zips: 0 },
    wants: Load { small: 0, zips: 0 },
};

fn at(class: Class) -> usize {
    match class {
        Class::Small => 0,
        Class::Zip => 1,
    }
}
