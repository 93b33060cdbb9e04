//! The store on a file of its own, as two servers would use it.

use super::*;
use afterglow_wire::ids::Size;

fn row(id: u8, token: &str, owner: &str) -> SessionRow {
    SessionRow {
        id: SessionId([id; 16]),
        token: token.parse().expect("a token"),
        owner: owner.parse().expect("a name"),
        endpoint: None,
        epoch: Epoch::FIRST,
        connection: 1,
        home: "/homes/x".into(),
        desktop: vec!["openbox".into(), "--startup".into(), "sh -c 'a & b'".into()],
        size: Size::new(1280, 720).expect("a size"),
        name: String::new(),
        services: Vec::new(),
        wish: None,
        created_ms: 0,
        changed_ms: 0,
        ended: false,
    }
}

async fn two_servers() -> (tempfile::TempDir, Store, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = StoreLocation::Sqlite(dir.path().join("store.db"));
    let one = Store::open(&path).await.expect("opens");
    let two = Store::open(&path).await.expect("opens again");
    (dir, one, two)
}

#[tokio::test]
async fn a_session_is_read_as_it_was_written() {
    let (_dir, one, two) = two_servers().await;
    let mut mine = row(1, "soft.ada", "mud");
    one.create(&mine, 1000).await.expect("writes").expect("no other");
    assert_eq!(two.session_of(&mine.token).await.expect("reads"), Some(mine.clone()));
    let endpoint = Some("127.0.0.1:7100".parse().expect("an address"));
    assert!(one.set_endpoint(mine.id, mine.epoch, &mine.owner, endpoint, 1).await.expect("writes"));
    mine.endpoint = endpoint;
    assert_eq!(two.session(mine.id).await.expect("reads"), Some(mine));
}

#[tokio::test]
async fn of_two_sessions_for_one_token_the_first_stays() {
    let (_dir, one, two) = two_servers().await;
    let (first, second) = (row(1, "soft.ada", "mud"), row(2, "soft.ada", "host05"));
    one.create(&first, 1000).await.expect("writes").expect("no other");
    let found = two.create(&second, 1000).await.expect("writes").expect_err("one is there");
    assert_eq!(found, first);
    // Once it is over there is room for a new one.
    assert!(one.end(first.id, first.epoch, &first.owner, 1001).await.expect("writes"));
    two.create(&second, 1002).await.expect("writes").expect("no other");
}

#[tokio::test]
async fn of_two_take_overs_one_wins_and_the_old_epoch_writes_no_more() {
    let (_dir, one, two) = two_servers().await;
    let mine = row(1, "soft.ada", "mud");
    let (a, b): (ServerName, ServerName) =
        ("host05".parse().expect("a name"), "host21".parse().expect("a name"));
    one.create(&mine, 1000).await.expect("writes").expect("no other");
    let (won, lost) = tokio::join!(
        one.take_over(mine.id, mine.epoch, &a, true, 2000),
        two.take_over(mine.id, mine.epoch, &b, true, 2000),
    );
    let (won, lost) = (won.expect("writes"), lost.expect("writes"));
    assert!(won.is_some() != lost.is_some(), "{won:?} {lost:?}");
    assert_eq!(won.or(lost), Some(2));
    let now = one.session(mine.id).await.expect("reads").expect("is there");
    assert_eq!((now.epoch, now.endpoint), (Epoch(2), None));
    // The old owner, with the old epoch: nothing.
    assert_eq!(one.connect(mine.id, Epoch(1), 3000).await.expect("writes"), None);
    let endpoint = Some("127.0.0.1:7100".parse().expect("an address"));
    let old = &mine.owner;
    assert!(!one.set_endpoint(mine.id, Epoch(1), old, endpoint, 3000).await.expect("writes"));
    assert!(!one.end(mine.id, Epoch(1), old, 3000).await.expect("writes"));
    // Nor with the new epoch, which is not its own.
    assert!(!one.end(mine.id, Epoch(2), old, 3000).await.expect("writes"));
    assert_eq!(one.connect(mine.id, Epoch(2), 3000).await.expect("writes"), Some(3));
}

#[tokio::test]
async fn boot_numbers_only_grow() {
    let (_dir, one, _two) = two_servers().await;
    let mud: ServerName = "mud".parse().expect("a name");
    assert_eq!(one.next_boot(&mud, 1000).await.expect("writes"), 1000);
    // A clock that went back.
    assert_eq!(one.next_boot(&mud, 500).await.expect("writes"), 1001);
    assert_eq!(one.next_boot(&mud, 2000).await.expect("writes"), 2000);
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_says_which() {
    let error = Store::open(&StoreLocation::Sqlite("/nonexistent/store.db".into()))
        .await
        .expect_err("no directory");
    assert!(error.to_string().contains("/nonexistent/store.db"), "{error}");
}
