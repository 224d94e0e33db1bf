//! Good manners: what goes through a line keeps to the limit that its owner set, however many transfers share it.
//!
//! A [`Throttle`] stands for a class of traffic in one direction. Those who wait at it are served one after the other, in the order in
//! which they came; nothing is taken for one that goes away before its turn. How long it held anybody up is told, so that nobody is
//! blamed for it. Without a limit it counts and costs nothing else. A limit by the hours of the week changes while transfers run, when
//! its throttle is told which minute it is: it looks at no clock of the wall.

mod places;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use modmesh_protocol::control::{CapStatus, RateStatus};
use modmesh_protocol::rate::{Bucket, Limit, Meter, Minute, PART_BYTES, Rate};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

pub(crate) use places::{Place, Places};

/// Places in hours in which nothing is limited: more transfers than ever run.
const PLACES_WITHOUT_LIMIT: usize = 1 << 20;

/// Whose traffic it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Between this host and its neighbours.
    Link,
    /// Between this host and neighbours of other sites, which are in [`Class::Link`] as well.
    Site,
    /// Between this host and module proxies.
    Upstream,
}

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From this host.
    Up,
    /// To this host.
    Down,
}

/// Why no large file is sent to neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// This machine runs on battery.
    Battery,
    /// A line of this machine is metered.
    Metered,
}

/// Keeps one class of traffic in one direction to its limit.
#[derive(Debug)]
pub(crate) struct Throttle {
    class: Class,
    direction: Direction,
    limit: Limit,
    shares_max: usize,
    began: Instant,
    /// Held by the one whose turn it is; fair, so that the others come in the order in which they asked.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Nanoseconds for which somebody was held up.
    held: AtomicU64,
    /// Those who share the limit, few where it is small; nothing where there never is one.
    places: Option<Places>,
    /// Tells the one whose turn it is that another rate holds.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    minute: Minute,
    /// At the rate that holds; nothing where there is none.
    bucket: Option<Bucket>,
    meter: Meter,
}

/// Bytes that are here already and are paid for part by part; what is left when this is dropped is charged at once.
#[derive(Debug)]
pub(crate) struct Came<'a> {
    throttle: &'a Throttle,
    left: u64,
}

impl Throttle {
    /// Of at most `shares_max` transfers at a time where there is a limit. It is `minute` until [`Throttle::it_is`] says otherwise.
    pub(crate) fn new(
        class: Class,
        direction: Direction,
        limit: Limit,
        minute: Minute,
        shares_max: usize,
    ) -> Self {
        let rate = limit.at(minute);
        let places = (!limit.is_none()).then(|| Places::new(places_at(rate, shares_max)));
        Self {
            class,
            direction,
            limit,
            shares_max,
            began: Instant::now(),
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                minute,
                bucket: rate.map(Bucket::new),
                meter: Meter::default(),
            }),
            held: AtomicU64::new(0),
            places,
            changed: Notify::new(),
        }
    }

    /// It is this minute of the week: another rate may hold from now on. Whoever waits hears of it, and transfers that run keep
    /// their places.
    pub(crate) fn it_is(&self, minute: Minute) {
        let rate = self.limit.at(minute);
        {
            let now = self.began.elapsed();
            let mut state = self.lock();
            state.minute = minute;
            if state.bucket.as_ref().map(Bucket::rate) == rate {
                return;
            }
            state.bucket = match (&state.bucket, rate) {
                (_, None) => None,
                (None, Some(rate)) => Some(Bucket::new(rate)),
                (Some(bucket), Some(rate)) => Some(bucket.at_rate(rate, now)),
            };
        }
        if let Some(places) = &self.places {
            places.set_most(places_at(rate, self.shares_max));
        }
        self.changed.notify_waiters();
        let limit = Limit::from(rate);
        let (class, direction) = (self.class.as_str(), self.direction.as_str());
        tracing::info!(class, direction, %limit, "another limit holds at this hour");
    }

    /// How many transfers may share it: `most`, or fewer where the limit is small.
    pub(crate) fn shares(&self, most: usize) -> usize {
        self.rate().map_or(most, |rate| rate.shares(most))
    }

    /// A place among the transfers that share the limit. Waits for as long as others have them all.
    pub(crate) async fn place(&self) -> Option<Place> {
        match &self.places {
            Some(places) => Some(places.take().await),
            None => None,
        }
    }

    /// As [`Throttle::place`], without waiting; nothing where others have them all.
    pub(crate) fn place_now(&self) -> Option<Option<Place>> {
        match &self.places {
            Some(places) => places.take_now().map(Some),
            None => Some(None),
        }
    }

    /// Bytes that are to go through at a time.
    pub(crate) fn part_bytes(&self) -> usize {
        match self.limit.is_none() {
            false => PART_BYTES,
            true => usize::MAX,
        }
    }

    /// Waits until `bytes` may go through, and takes them.
    pub(crate) async fn pass(&self, bytes: u64) {
        self.wait_for(bytes).await;
        self.take(bytes, Bucket::take);
    }

    /// So many bytes came, and are to be paid for before more are taken from their sender.
    pub(crate) fn came(&self, bytes: u64) -> Came<'_> {
        Came {
            throttle: self,
            left: bytes,
        }
    }

    /// Counts `bytes` that nothing holds up: they are few, or somebody waits for them.
    pub(crate) fn charge(&self, bytes: u64) {
        self.take(bytes, Bucket::charge);
    }

    /// Whether `bytes` could go through now without holding anybody up.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        let now = self.began.elapsed();
        let state = self.lock();
        let bucket = state.bucket.as_ref();
        bucket.is_none_or(|bucket| bytes <= bucket.holds() && bucket.wait(now, bytes).is_zero())
    }

    /// For how long, since the start, somebody was held up here.
    pub(crate) fn held(&self) -> Duration {
        Duration::from_nanos(self.held.load(Ordering::Relaxed))
    }

    /// For people to see.
    pub(crate) fn status(&self) -> RateStatus {
        let now = self.began.elapsed();
        let mut state = self.lock();
        let rate = state.bucket.as_ref().map(Bucket::rate);
        let until = self.limit.changes_after(state.minute);
        RateStatus {
            class: self.class.as_str().to_owned(),
            direction: self.direction.as_str().to_owned(),
            limit_bytes_per_second: rate.map(Rate::bytes_per_second),
            until: until.map(|minute| minute.to_string()),
            bytes_per_second: state.meter.bytes_per_second(now),
            held_ms: u64::try_from(self.held().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The places among the transfers that share the limit, under the name `what`, for people to see; nothing while none holds.
    pub(crate) fn cap(&self, what: &str) -> Option<CapStatus> {
        let places = self.places.as_ref().filter(|_| self.rate().is_some())?;
        Some(CapStatus::new(what, places.taken(), places.most()))
    }

    fn rate(&self) -> Option<Rate> {
        self.lock().bucket.as_ref().map(Bucket::rate)
    }

    async fn wait_for(&self, bytes: u64) {
        if self.limit.is_none() {
            return;
        }
        let _turn = self.turn.lock().await;
        loop {
            // Before the look at the bucket, so that no change is missed between them.
            let changed = self.changed.notified();
            let now = self.began.elapsed();
            let wait = {
                let state = self.lock();
                let bucket = state.bucket.as_ref();
                bucket.map_or(Duration::ZERO, |bucket| bucket.wait(now, bytes))
            };
            if wait.is_zero() {
                return;
            }
            let _held = Held {
                since: Instant::now(),
                total: &self.held,
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    fn take(&self, bytes: u64, how: impl Fn(&mut Bucket, Duration, u64)) {
        let now = self.began.elapsed();
        let mut state = self.lock();
        state.meter.add(now, bytes);
        if let Some(bucket) = &mut state.bucket {
            how(bucket, now, bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn places_at(rate: Option<Rate>, most: usize) -> usize {
    rate.map_or(PLACES_WITHOUT_LIMIT, |rate| rate.shares(most))
}

impl Came<'_> {
    /// Waits until `bytes` of them may have come.
    pub(crate) async fn pass(&mut self, bytes: u64) {
        self.throttle.pass(bytes).await;
        self.left = self.left.saturating_sub(bytes);
    }
}

impl Drop for Came<'_> {
    fn drop(&mut self) {
        if self.left > 0 {
            self.throttle.take(self.left, Bucket::take);
        }
    }
}

impl Class {
    /// The word for it in `status` and the metrics.
    fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Site => "site",
            Self::Upstream => "upstream",
        }
    }
}

impl Pause {
    /// For people to read.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Battery => "this host runs on battery (on-battery is pause)",
            Self::Metered => "a line of this host is metered (on-metered is pause)",
        }
    }

    /// What a person can do about it.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Battery => "plug it in, or give --on-battery share",
            Self::Metered => {
                "take another line, tell NetworkManager that this one is not metered, or give --on-metered share"
            }
        }
    }
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Adds the time until it is dropped.
struct Held<'a> {
    since: Instant,
    total: &'a AtomicU64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let nanoseconds = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.total.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use modmesh_protocol::rate::parse_limit;

    use super::*;

    const PART: u64 = PART_BYTES as u64;

    fn throttle(rate: u64) -> Arc<Throttle> {
        of(Rate::new(rate).into())
    }

    /// At midnight before Monday.
    fn of(limit: Limit) -> Arc<Throttle> {
        let throttle = Throttle::new(Class::Link, Direction::Up, limit, Minute::default(), 4);
        Arc::new(throttle)
    }

    /// Another limit on Tuesday.
    fn that_changes(otherwise: &str, tuesday: &str) -> Arc<Throttle> {
        let text = format!("{otherwise}, {tuesday} tue 00:00-24:00");
        of(parse_limit(&text).unwrap())
    }

    const TUESDAY: Minute = Minute::new(1, 12 * 60);
    const WEDNESDAY: Minute = Minute::new(2, 0);

    #[tokio::test(start_paused = true)]
    async fn ten_transfers_together_get_what_one_alone_would() {
        let throttle = throttle(1_000_000);
        let began = Instant::now();
        let transfers = (0..10).map(|_| async {
            for _ in 0..100 {
                throttle.pass(2_500).await;
            }
        });
        futures::future::join_all(transfers).await;
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(2_240), "{took:?}");
        assert!(took <= Duration::from_millis(2_400), "{took:?}");
        assert!(throttle.held() >= Duration::from_secs(2));
        assert!(throttle.held() <= took);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_served_in_their_order_and_the_gone_take_nothing() {
        let throttle = throttle(100_000);
        // All that it holds.
        throttle.pass(25_000).await;
        let gone = Arc::clone(&throttle);
        let gone = tokio::spawn(async move { gone.pass(1_000_000).await });
        tokio::task::yield_now().await;
        let waits = Arc::clone(&throttle);
        let waits = tokio::spawn(async move { waits.pass(10_000).await });
        tokio::task::yield_now().await;
        let began = Instant::now();
        gone.abort();
        waits.await.unwrap();
        assert!(began.elapsed() <= Duration::from_millis(102));
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_is_paid_for_when_its_taker_goes_away() {
        let throttle = throttle(100_000);
        let mut came = throttle.came(225_000);
        came.pass(25_000).await;
        drop(came);
        let began = Instant::now();
        throttle.pass(1).await;
        assert!(began.elapsed() >= Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nobody_waits_and_the_pace_is_seen() {
        let throttle = Throttle::new(
            Class::Upstream,
            Direction::Down,
            Limit::default(),
            Minute::default(),
            4,
        );
        let began = Instant::now();
        for _ in 0..1000 {
            throttle.pass(PART).await;
        }
        let _places = [throttle.place().await, throttle.place().await];
        assert!(throttle.place_now().is_some_and(|place| place.is_none()));
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(throttle.shares(64), 64);
        assert_eq!(throttle.cap("downloads"), None);
        let status = throttle.status();
        assert_eq!(status.bytes_per_second, 250 * PART);
        assert_eq!(status.limit_bytes_per_second, None);
        assert_eq!(
            (status.class.as_str(), status.direction.as_str()),
            ("upstream", "down")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn few_share_a_small_limit() {
        let throttle = throttle(Rate::LEAST);
        let _first = throttle.place().await;
        let second = throttle.place().await;
        let third = throttle.place();
        tokio::pin!(third);
        assert!(futures::poll!(&mut third).is_pending());
        assert!(throttle.place_now().is_none());
        let cap = throttle.cap("downloads").unwrap();
        assert_eq!((cap.what.as_str(), cap.used, cap.most), ("downloads", 2, 2));
        drop(second);
        assert!(third.await.is_some());
    }

    /// Waits at it, after all that it holds has been taken.
    async fn waits_for(throttle: &Arc<Throttle>, bytes: u64) -> tokio::task::JoinHandle<()> {
        throttle
            .pass(
                throttle
                    .rate()
                    .map_or(0, |rate| rate.bytes_per_second() / 4),
            )
            .await;
        let waits = Arc::clone(throttle);
        let waits = tokio::spawn(async move { waits.pass(bytes).await });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        waits
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_at_once_when_nothing_is_limited_any_more() {
        let throttle = that_changes("100kB/s", "none");
        let waits = waits_for(&throttle, 25_000).await;
        let began = Instant::now();
        throttle.it_is(TUESDAY);
        waits.await.unwrap();
        throttle.pass(1 << 40).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(throttle.status().limit_bytes_per_second, None);
        assert_eq!(throttle.status().until.as_deref(), Some("wed 00:00"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_at_the_rate_that_holds_then() {
        // What one bucket lacks the other lacks too, up to half a second beyond a full one.
        for (before, after, milliseconds) in [("100kB/s", "1MB/s", 0), ("1MB/s", "100kB/s", 750)] {
            let throttle = that_changes(before, after);
            let waits = waits_for(&throttle, 25_000).await;
            let began = Instant::now();
            throttle.it_is(TUESDAY);
            waits.await.unwrap();
            let took = began.elapsed().as_millis();
            assert!(
                (milliseconds..milliseconds + 3).contains(&took),
                "{after}: {took}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_limited_is_from_the_minute_on_in_which_it_is_to_be() {
        let throttle = that_changes("none", "100kB/s");
        let began = Instant::now();
        throttle.pass(1 << 40).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(throttle.status().until.as_deref(), Some("tue 00:00"));
        throttle.it_is(TUESDAY);
        throttle.pass(25_000).await;
        throttle.pass(100_000).await;
        assert!(began.elapsed() >= Duration::from_millis(250));
        assert_eq!(throttle.status().limit_bytes_per_second, Some(100_000));
        // Told again, it is the same.
        throttle.it_is(TUESDAY);
        assert!(!throttle.has_room_for(1));
        throttle.it_is(WEDNESDAY);
        assert!(throttle.has_room_for(1 << 40));
    }

    #[tokio::test(start_paused = true)]
    async fn transfers_keep_their_places_when_a_limit_begins_and_newcomers_find_few() {
        let throttle = that_changes("none", "64KiB/s");
        let mut running: Vec<_> = (0..10).map_while(|_| throttle.place_now()).collect();
        assert_eq!((running.len(), throttle.shares(4)), (10, 4));
        assert_eq!(throttle.cap("uploads"), None);
        throttle.it_is(TUESDAY);
        assert_eq!(throttle.shares(4), 2);
        // More than there can be, for as long as they run.
        let cap = throttle.cap("uploads").unwrap();
        assert_eq!((cap.used, cap.most), (10, 2));
        running.truncate(2);
        assert!(throttle.place_now().is_none());
        let next = throttle.place();
        tokio::pin!(next);
        assert!(futures::poll!(&mut next).is_pending());
        running.pop();
        assert!(next.await.is_some());
        throttle.it_is(WEDNESDAY);
        running.extend((0..10).map_while(|_| throttle.place_now()));
        assert_eq!(running.len(), 11);
    }
}
