//! Both databases do what the model does, which the simulation and the core's
//! tests run on.

use afterglow_server::config::{DatabaseUrl, StoreLocation};
use afterglow_server::core::{StoreAnswer, StoreOperation};
use afterglow_server::store::model::StoreModel;
use afterglow_server::store::{CopyRow, SessionRow, Store, UserRow, Wish};
use afterglow_tests::postgres::Postgres;
use afterglow_tests::scratch::Scratch;
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Size, Token, TokenKind};
use afterglow_wire::service::ServiceName;
use anyhow::{Context, Result, ensure};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::net::SocketAddrV4;

/// How many sequences each database is given, and how long each is.
const SEQUENCES: u8 = 48;
const OPERATIONS: usize = 40;
/// What the operations are about: few enough that they meet.
const TOKENS: u8 = 2;
const SESSIONS: u8 = 6;
const OWNERS: u8 = 3;

#[test]
fn sqlite_does_what_the_model_does() -> Result<()> {
    let scratch = Scratch::new("sqlite_does_what_the_model_does")?;
    compare(&StoreLocation::Sqlite(scratch.path().join("store.sqlite")))?;
    scratch.passed()
}

#[test]
fn postgresql_does_what_the_model_does() -> Result<()> {
    let scratch = Scratch::new("postgresql_does_what_the_model_does")?;
    let postgres = Postgres::start(scratch.path())?;
    compare(&StoreLocation::Postgres(DatabaseUrl(postgres.url())))?;
    scratch.passed()
}

/// Gives the database and the model the same sequences of operations, and
/// compares each answer and in the end all that they hold. Each sequence has
/// tokens, sessions and owners of its own.
#[tokio::main(flavor = "current_thread")]
async fn compare(location: &StoreLocation) -> Result<()> {
    let store = Store::open(location).await?;
    let mut runner = TestRunner::deterministic();
    for sequence in 0..SEQUENCES {
        let mut model = StoreModel::default();
        // One token has a user, the other has none.
        let user = user(sequence);
        store.set_user(&user).await?;
        ensure!(store.bind_token(&token(sequence, 0), Some(&user.name)).await?);
        model.users.insert(token(sequence, 0), user);
        let operations = prop::collection::vec(operation(sequence), OPERATIONS);
        let tree = operations.new_tree(&mut runner).map_err(anyhow::Error::msg)?;
        let mut told = Vec::new();
        for (index, operation) in tree.current().into_iter().enumerate() {
            let now_ms = 1_000 + index as u64;
            let (is, should) = both(&store, &mut model, &operation, now_ms).await?;
            told.push(format!("{operation:?}: {is:?}"));
            ensure!(is == should, "it should be {should:?} after\n{}", told.join("\n"));
        }
        for reading in readings(sequence) {
            let (is, should) = both(&store, &mut model, &reading, 0).await?;
            ensure!(is == should, "{reading:?}\n{is:?}\n{should:?}\n{}", told.join("\n"));
        }
    }
    store.close().await;
    Ok(())
}

async fn both(
    store: &Store,
    model: &mut StoreModel,
    operation: &StoreOperation,
    now_ms: u64,
) -> Result<(StoreAnswer, StoreAnswer)> {
    let is = store.perform(operation, now_ms).await.with_context(|| format!("{operation:?}"))?;
    Ok((is, model.perform(operation, now_ms)))
}

/// All that there is to read of a sequence.
fn readings(sequence: u8) -> Vec<StoreOperation> {
    let mut all = Vec::new();
    for number in 0..TOKENS {
        let token = token(sequence, number);
        all.push(StoreOperation::TokenSession { token: token.clone(), session: None });
        all.push(StoreOperation::SessionsOf(token));
    }
    all.extend((0..SESSIONS).map(|number| StoreOperation::Session(id(sequence, number))));
    all.extend((0..OWNERS).map(|number| StoreOperation::CopiesAt(owner(sequence, number))));
    all
}

/// Any operation, mostly about a session that there is and its first epochs.
fn operation(sequence: u8) -> impl Strategy<Value = StoreOperation> {
    let owners = || (0..OWNERS).prop_map(move |number| owner(sequence, number));
    let copy = || {
        let id = (0..SESSIONS).prop_map(move |number| id(sequence, number));
        (id, (1..4_u64).prop_map(Epoch))
    };
    let tokens = || (0..TOKENS).prop_map(move |number| token(sequence, number));
    let wish =
        move || prop_oneof![Just(Wish::End), owners().prop_map(Wish::Move), Just(Wish::Continue)];
    let written = || (copy(), owners());
    prop_oneof![
        8 => (new(sequence), any::<bool>()).prop_map(|(row, only)| {
            StoreOperation::Create { row: Box::new(row), only }
        }),
        2 => (tokens(), prop::option::of(copy())).prop_map(|(token, wanted)| {
            StoreOperation::TokenSession { token, session: wanted.map(|(id, _)| id) }
        }),
        2 => tokens().prop_map(StoreOperation::SessionsOf),
        1 => copy().prop_map(|(id, _)| StoreOperation::Session(id)),
        3 => copy().prop_map(|(session, epoch)| StoreOperation::Connect { session, epoch }),
        4 => (written(), any::<bool>()).prop_map(|(((session, from), owner), count)| {
            StoreOperation::TakeOver { session, from, owner, count }
        }),
        4 => (written(), any::<bool>()).prop_map(|(((session, epoch), owner), there)| {
            let endpoint = there.then(|| SocketAddrV4::new([10, 0, 0, 7].into(), 7_017));
            StoreOperation::SetEndpoint { session, epoch, owner, endpoint }
        }),
        3 => (written(), services()).prop_map(|(((session, epoch), owner), services)| {
            StoreOperation::SetServices { session, epoch, owner, services }
        }),
        2 => (copy(), name()).prop_map(|((session, epoch), name)| {
            StoreOperation::Rename { session, epoch, name }
        }),
        3 => (copy(), prop::option::of(wish())).prop_map(|((session, epoch), wish)| {
            StoreOperation::Wish { session, epoch, wish }
        }),
        2 => (written(), owners()).prop_map(|(((session, epoch), owner), to)| {
            StoreOperation::HandOver { session, epoch, owner, to }
        }),
        1 => written().prop_map(|((session, epoch), owner)| {
            StoreOperation::End { session, epoch, owner }
        }),
        4 => (written(), tokens(), name()).prop_map(|(((session, epoch), owner), token, name)| {
            let copy = CopyRow { session, epoch, owner, token, name, since_ms: 77, wish: None };
            StoreOperation::NoteCopy(Box::new(copy))
        }),
        1 => owners().prop_map(StoreOperation::CopiesAt),
        2 => (copy(), wish()).prop_map(|((session, epoch), wish)| {
            StoreOperation::WishCopy { session, epoch, wish }
        }),
        1 => written().prop_map(|((session, epoch), owner)| {
            StoreOperation::ForgetCopy { session, epoch, owner }
        }),
    ]
}

/// A new session's row.
fn new(sequence: u8) -> impl Strategy<Value = SessionRow> {
    let parts = (0..SESSIONS, 0..TOKENS, 0..OWNERS, name(), services());
    parts.prop_map(move |(session, of, by, name, services)| SessionRow {
        id: id(sequence, session),
        token: token(sequence, of),
        owner: owner(sequence, by),
        endpoint: None,
        epoch: Epoch(1),
        connection: 0,
        home: "/home/érika".into(),
        desktop: vec!["openbox".into(), "a b".into(), String::new()],
        size: Size::new(1_024, 768).expect("a valid size"),
        name,
        services,
        wish: None,
        created_ms: 900,
        changed_ms: 900,
        ended: false,
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just(""), Just("Steuer '26"), Just("a,b\n\"c\"")].prop_map(str::to_owned)
}

fn services() -> impl Strategy<Value = Vec<ServiceName>> {
    let known = ["mail", "ide.rust", "x_1-a"];
    let parsed = move |names: Vec<&str>| {
        names.into_iter().map(|name| name.parse().expect("a valid name")).collect()
    };
    prop::sample::subsequence(known.to_vec(), 0..=known.len()).prop_map(parsed)
}

fn id(sequence: u8, number: u8) -> SessionId {
    let mut bytes = [0; 16];
    (bytes[0], bytes[15]) = (number, sequence);
    SessionId(bytes)
}

fn token(sequence: u8, number: u8) -> Token {
    Token::new(TokenKind::Card, &format!("{sequence}-{number}")).expect("a valid token")
}

fn owner(sequence: u8, number: u8) -> ServerName {
    format!("host{sequence}-{number}").parse().expect("a valid name")
}

fn user(sequence: u8) -> UserRow {
    UserRow {
        name: format!("user{sequence}"),
        account: Some("erika".into()),
        home: None,
        desktop: Some(vec!["xterm".into(), "-e".into(), "sh -c 'a b'".into()]),
        catalogue: Some(vec!["mail".parse().expect("a valid name")]),
        required: Some(Vec::new()),
        size: Size::new(800, 600),
    }
}
