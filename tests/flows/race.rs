//! Many at once: of one code, of one refresh token, on one node and on two, on both engines.

use futures_util::future::join_all;
use store::AuditKind;
use testkit::client::{Pkce, TestClient};
use testkit::house::{House, Plan};
use testkit::outcomes::{Verdict, tok400};

use crate::record::on_postgres;
use crate::steps::{Flow, Tokens};

const AT_ONCE: usize = 32;
const ROUNDS: usize = 10;

/// AS-136.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tk_02_of_many_redemptions_of_one_code_one_succeeds_on_sqlite() -> Verdict {
    redeemed_once(Plan::default()).await
}

/// AS-136.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tk_02_of_many_redemptions_of_one_code_one_succeeds_on_postgres() -> Verdict {
    on_postgres(|url| redeemed_once(Plan { postgres: Some(url), ..Plan::default() })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tk_28_many_refreshes_of_one_token_get_one_successor_on_sqlite() -> Verdict {
    one_successor(Plan::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tk_28_many_refreshes_of_one_token_get_one_successor_on_postgres() -> Verdict {
    on_postgres(|url| one_successor(Plan { postgres: Some(url), ..Plan::default() })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tk_02_tk_28_the_same_holds_on_two_nodes() -> Verdict {
    on_postgres(|url| async move {
        let flow = Flow::with(Plan { postgres: Some(url), ..Plan::default() }).await?;
        let second = flow.house.second_node().await?;
        let clients = vec![flow.client.clone(), at(&second, &flow.client)];
        let flow = rounds_of_codes(flow, &clients).await?;
        let flow = rounds_of_refreshes(flow, &clients).await?;
        second.close().await?;
        flow.close().await
    })
    .await
}

/// The same client, at another node.
fn at(house: &House, client: &TestClient) -> TestClient {
    TestClient { http: house.http.clone(), ..client.clone() }
}

async fn redeemed_once(plan: Plan) -> Verdict {
    let flow = Flow::with(plan).await?;
    let clients = vec![flow.client.clone()];
    rounds_of_codes(flow, &clients).await?.close().await
}

async fn one_successor(plan: Plan) -> Verdict {
    let flow = Flow::with(plan).await?;
    let clients = vec![flow.client.clone()];
    rounds_of_refreshes(flow, &clients).await?.close().await
}

async fn rounds_of_codes(mut flow: Flow, clients: &[TestClient]) -> Result<Flow, String> {
    let before = flow.house.counts().await?.grants;
    let issued = flow.house.audit(AuditKind::TokenIssued).await?.len();
    for round in 0..ROUNDS {
        let code = flow.code().await?;
        // Two of them with something wrong: that may not keep the right ones from it, nor use the code up.
        let stranger = Pkce::new("a stranger").verifier;
        let redeem = |number: usize| {
            let client = &clients[number % clients.len()];
            let verifier = if number % 16 == 15 { &stranger } else { &code.verifier };
            client.redeem(&code.code, verifier)
        };
        let answers = join_all((0..AT_ONCE).map(redeem)).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        let [won] = won.as_slice() else { return Err(format!("round {round}: {} succeeded", won.len())) };
        lost.into_iter().try_for_each(|answer| tok400(answer, "invalid_grant"))?;
        // The losers came early, so the winner's family lives (attacks.md, D-3).
        flow.lives(&Tokens::of(won)?).await?;
    }
    let rounds = u64::try_from(ROUNDS).unwrap_or_default();
    assert_eq!(flow.house.counts().await?.grants, before + rounds);
    assert_eq!(flow.house.audit(AuditKind::TokenIssued).await?.len(), issued + ROUNDS);
    Ok(flow)
}

async fn rounds_of_refreshes(mut flow: Flow, clients: &[TestClient]) -> Result<Flow, String> {
    let mut tokens = flow.tokens().await?;
    let count = async |flow: &Flow, kind| flow.house.audit(kind).await.map(|events| events.len());
    let (refreshed, repeated) =
        (count(&flow, AuditKind::TokenRefreshed).await?, count(&flow, AuditKind::RefreshRepeated).await?);
    let mut branches = Vec::new();
    for round in 0..ROUNDS {
        let refresh = |number: usize| clients[number % clients.len()].refresh(&tokens.refresh);
        let answers = join_all((0..AT_ONCE).map(refresh)).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let all = answers
            .iter()
            .map(Tokens::of)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| format!("round {round}: {why}"))?;
        let next = all.first().cloned().ok_or("no answer")?;
        assert!(all.iter().all(|one| one.refresh == next.refresh), "round {round}: two successors");
        let mut fresh: Vec<&String> = all.iter().map(|one| &one.access).collect();
        fresh.sort();
        fresh.dedup();
        assert_eq!(fresh.len(), AT_ONCE, "round {round}: each got an access token of its own");
        branches.push(tokens.refresh);
        tokens = next;
    }
    assert_eq!(count(&flow, AuditKind::TokenRefreshed).await? - refreshed, ROUNDS);
    assert_eq!(count(&flow, AuditKind::RefreshRepeated).await? - repeated, ROUNDS * (AT_ONCE - 1));
    // The last one is alive; of the others only the one before it is still answered, with the same.
    let last = Tokens::of(&flow.refresh(branches.last().ok_or("no round")?).await?)?;
    assert_eq!(last.refresh, tokens.refresh);
    flow.lives(&tokens).await?;
    tok400(&flow.refresh(&branches[0]).await?, "invalid_grant")?;
    flow.is_dead(&[&tokens]).await?;
    Ok(flow)
}
