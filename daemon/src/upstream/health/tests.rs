//! The memory of an entry's state, with its clock in the test's hand.

#![allow(clippy::unwrap_used)]

use super::*;

const PAUSES: Pauses = Pauses {
    first: Duration::from_secs(5),
    max: Duration::from_secs(60),
};

#[tokio::test]
async fn those_who_come_while_the_first_connects_share_its_failure() {
    let health = Health::default();
    let first = health.admit().await.unwrap();
    let mut second = std::pin::pin!(health.admit());
    assert!(futures::poll!(second.as_mut()).is_pending());
    assert!(
        first.failed(Failure::Connect, "no route", PAUSES),
        "a scout"
    );
    assert_eq!(second.await.unwrap_err(), "no route");
    assert_eq!(health.admit().await.unwrap_err(), "no route");
    assert!(health.is_in_doubt());
}

#[tokio::test]
async fn those_who_come_while_the_first_connects_follow_it_when_it_is_connected() {
    let health = Health::default();
    let mut first = health.admit().await.unwrap();
    let mut second = std::pin::pin!(health.admit());
    assert!(futures::poll!(second.as_mut()).is_pending());
    first.connected();
    second.await.unwrap().answered();
    assert_eq!(health.state(), RoadState::Up);
}

#[tokio::test]
async fn a_first_request_that_is_given_up_lets_the_next_one_go() {
    let health = Health::default();
    let first = health.admit().await.unwrap();
    let mut second = std::pin::pin!(health.admit());
    assert!(futures::poll!(second.as_mut()).is_pending());
    drop(first);
    assert_eq!(second.await.unwrap().role, Role::First);
}

#[tokio::test(start_paused = true)]
async fn the_scout_looks_with_growing_pauses_until_it_is_answered() {
    let health = Health::default();
    let first = health.admit().await.unwrap();
    assert!(first.failed(Failure::Connect, "gone", PAUSES));
    for pause in [5, 10, 20, 40, 60, 60] {
        assert_eq!(health.next_look(), Some(Duration::from_secs(pause)));
        tokio::time::advance(Duration::from_secs(pause)).await;
        assert_eq!(health.next_look(), Some(Duration::ZERO));
        assert!(health.admit().await.is_err(), "nobody else goes");
        health.looked(Instant::now(), Err("still gone".to_owned()), PAUSES);
    }
    health.looked(Instant::now(), Ok(()), PAUSES);
    assert_eq!(health.next_look(), None);
    assert_eq!(health.state(), RoadState::Up);
    assert!(!health.is_in_doubt());
}

#[tokio::test(start_paused = true)]
async fn a_knock_sends_the_scout_early_but_not_again_and_again() {
    let health = Health::default();
    let first = health.admit().await.unwrap();
    assert!(first.failed(Failure::Connect, "gone", PAUSES));
    assert!(!health.knock(PAUSES), "it was looked at just now");
    tokio::time::advance(PAUSES.first).await;
    assert!(health.knock(PAUSES));
    assert!(!health.knock(PAUSES));
    health.knocked().await;
    let mut back = std::pin::pin!(health.back_after_knock());
    assert!(futures::poll!(back.as_mut()).is_pending());
    health.looked(Instant::now(), Ok(()), PAUSES);
    assert!(back.await);
}

#[tokio::test]
async fn silence_about_one_file_is_no_silence_when_others_are_answered() {
    let health = Health::default();
    let mut slow = health.admit().await.unwrap();
    slow.connected();
    health.admit().await.unwrap().answered();
    assert!(!health.owes_an_answer(slow.started()));
    assert!(!slow.failed(Failure::Silence, "no answer", PAUSES));
    assert_eq!(health.state(), RoadState::Up);
    let alone = health.admit().await.unwrap();
    tokio::task::yield_now().await;
    assert!(alone.failed(Failure::Silence, "no answer", PAUSES));
    assert_eq!(health.state().as_str(), "down");
}

#[tokio::test(start_paused = true)]
async fn one_connection_that_fails_while_others_are_answered_sends_the_scout_and_no_more() {
    let health = Health::default();
    let failing = health.admit().await.unwrap();
    let since = failing.started();
    tokio::time::advance(Duration::from_secs(1)).await;
    health.looked(Instant::now(), Ok(()), PAUSES);
    assert!(failing.failed(Failure::Connect, "no connection", PAUSES));
    assert_eq!(health.state(), RoadState::Up);
    assert!(health.is_in_doubt());
    assert_eq!(health.next_look(), Some(Duration::ZERO));

    // Nor is a scout believed that left before somebody was answered.
    health.admit().await.unwrap().answered();
    health.looked(since, Err("no connection".to_owned()), PAUSES);
    assert_eq!(health.state(), RoadState::Up);
    assert!(!health.is_in_doubt());
    assert_eq!(health.next_look(), None);
    tokio::time::advance(Duration::from_secs(1)).await;
    health.looked(Instant::now(), Err("no connection".to_owned()), PAUSES);
    assert_eq!(health.state().as_str(), "down");
}

#[tokio::test]
async fn who_owes_an_answer_is_in_doubt_until_the_scout_or_anybody_is_answered() {
    let health = Health::default();
    let mut waiting = health.admit().await.unwrap();
    waiting.connected();
    assert!(health.owes_an_answer(waiting.started()), "a scout goes");
    assert!(!health.owes_an_answer(waiting.started()), "one is enough");
    assert!(health.is_in_doubt());
    assert_eq!(health.next_look(), Some(Duration::ZERO));
    let mut downfall = std::pin::pin!(health.downfall());
    assert!(futures::poll!(downfall.as_mut()).is_pending());
    health.looked(Instant::now(), Err("no answer".to_owned()), PAUSES);
    assert_eq!(downfall.await, "no answer");
    waiting.answered();
    assert!(!health.is_in_doubt());
}
