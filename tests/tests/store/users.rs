//! Users and whose tokens are theirs.

use crate::place::{Place, over_both, row, token};
use afterglow_server::store::UserRow;
use afterglow_wire::ids::Size;
use anyhow::{Result, ensure};

over_both!(a_token_s_user_comes_with_its_session, super::bound);
async fn bound(place: &mut Place) -> Result<()> {
    let store = place.open().await?;
    let ada = UserRow {
        name: "Ada L.".into(),
        account: Some("ada".into()),
        home: Some("/homes/ada".into()),
        desktop: Some(vec!["xfce4-session".into()]),
        catalogue: Some(vec!["mail".parse()?, "news".parse()?]),
        required: Some(Vec::new()),
        size: Size::new(1920, 1080),
    };
    let bob = UserRow {
        name: "bob".into(),
        account: None,
        home: None,
        desktop: None,
        catalogue: None,
        required: None,
        size: None,
    };
    let (first, second) = (token("soft.first"), token("soft.second"));
    // There is nobody of that name yet.
    ensure!(!store.bind_token(&first, Some("bob")).await?);
    store.set_user(&bob).await?;
    store.set_user(&ada).await?;
    ensure!(store.users().await? == [ada.clone(), bob.clone()]);
    // Before it is inserted for the first time, and after.
    ensure!(store.bind_token(&first, Some("bob")).await?);
    ensure!(store.token_session(&first, None).await? == (None, Some(bob.clone())));
    let mine = row(1, "soft.first", "mud");
    ensure!(store.create(&mine, true, 1_000).await? == Some(1));
    ensure!(store.bind_token(&first, Some(&ada.name)).await?);
    ensure!(store.bind_token(&second, Some(&ada.name)).await?);
    ensure!(store.token_session(&first, None).await? == (Some(mine), Some(ada.clone())));
    ensure!(store.tokens_of(&ada.name).await? == [first.clone(), second.clone()]);
    ensure!(store.tokens_of("bob").await?.is_empty());
    ensure!(store.bind_token(&second, None).await?);
    ensure!(!store.bind_token(&token("soft.nobody"), None).await?);
    // Configured anew.
    let ada = UserRow { size: None, catalogue: None, ..ada };
    store.set_user(&ada).await?;
    ensure!(store.token_session(&first, None).await?.1 == Some(ada.clone()));
    // The token outlives its user.
    ensure!(store.remove_user(&ada.name).await? && !store.remove_user(&ada.name).await?);
    let (session, user) = store.token_session(&first, None).await?;
    ensure!(session.is_some() && user.is_none());
    ensure!(store.users().await? == [bob]);
    Ok(())
}

over_both!(a_corrupt_user_does_not_become_another, super::corrupt);
async fn corrupt(place: &mut Place) -> Result<()> {
    let store = place.open().await?;
    place.sql("INSERT INTO users (name, account, size) VALUES ('eve', 'eve', '1x')").await?;
    ensure!(store.bind_token(&token("soft.eve"), Some("eve")).await?);
    let error = store.token_session(&token("soft.eve"), None).await.expect_err("not valid");
    ensure!(error.to_string().contains("user eve: its size"), "{error}");
    ensure!(store.users().await?.is_empty());
    Ok(())
}
