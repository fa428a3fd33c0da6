//! Whether it matters how many grants there are: calls, refreshes and revocations over a record with 1,000 and with
//! 1,000,000 of them, in rounds that take turns.

use std::sync::Arc;
use std::time::Duration;

use protocol::id::Id;
use protocol::oauth::{ClientId, ResourceUri, Scope};
use protocol::secret::Hash;
use protocol::world::{Entropy, Timestamp};
use store::{
    AuditEvent, AuditKind, BrowserSessionRecord, Engine, GrantRecord, NewIdentity, Outcome as Ended, SignIn,
    SignInOutcome, Users as _,
};
use testkit::world::TestEntropy;

use crate::flows::{self, CONNECTIONS, Flow, REVOCATIONS};
use crate::load::{now, repeat, today};
use crate::peer::Peer;
use crate::pin::Core;
use crate::product::{Product, SERVER, Setup};
use crate::rounds::Line;
use crate::table::Table;
use crate::{Outcome, Plan, calls};

/// Grants of one person.
const EACH: usize = 100;
/// Grants in one write.
const PIECE: usize = 10_000;
/// How long ago the oldest were made.
const AGE: Duration = Duration::from_secs(100 * 24 * 60 * 60);
const LIFE: Duration = Duration::from_secs(180 * 24 * 60 * 60);

/// One record and what it cost.
struct House {
    product: Product,
    session: flows::Session,
    flow: Arc<Flow>,
    calls: Line,
    refreshes: Line,
    revocations: Line,
}

impl House {
    async fn with(grants: usize, upstream: &str) -> Outcome<Self> {
        let setup = Setup::new(upstream);
        let product = Product::start(&setup).await?;
        let begin = now();
        let record = product.record().await?;
        seed(&record, grants).await?;
        anstream::eprintln!("{grants} grants made in {:.1} s", begin.elapsed().as_secs_f64());
        settled(&product).await;
        let session = flows::sign_in(&product).await?;
        let flow = Arc::new(Flow::new(&product, &session));
        let [calls, refreshes, revocations] = [(); 3].map(|()| Line::default());
        Ok(Self { product, session, flow, calls, refreshes, revocations })
    }

    async fn round(&mut self, seconds: f64) -> Outcome<()> {
        let product = &self.product;
        let call = calls::checked(&self.session);
        self.calls.round(&product.peer, repeat(&product.target, call, CONNECTIONS, seconds)).await?;
        let holders = flows::hold(product, &self.flow, 1).await?;
        self.refreshes.round(&product.peer, flows::refresh(&self.flow, holders, seconds)).await?;
        let holders = flows::hold(product, &self.flow, REVOCATIONS).await?;
        self.revocations.round(&product.peer, flows::revoke(&self.flow, holders)).await?;
        Ok(())
    }
}

/// Measures both.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let many = if plan.quick { 20_000 } else { 1_000_000 };
    let mut few = House::with(1000, &upstream.url).await?;
    let mut most = House::with(many, &upstream.url).await?;
    for _ in 0..plan.rounds {
        few.round(plan.seconds).await?;
        most.round(plan.seconds).await?;
    }
    let lines = [
        ("a call", &few.calls, &most.calls),
        ("a refresh", &few.refreshes, &most.refreshes),
        ("a revocation", &few.revocations, &most.revocations),
    ];
    for (what, few, most) in lines {
        let ratio = most.cpu.median() / few.cpu.median();
        let (little, much) = (few.cpu.show("µs", 1), most.cpu.show("µs", 1));
        let measured = format!("{little} with 1000 grants, {much} with {many}: {ratio:.2} ×");
        table.row(&format!("CPU of {what}"), &measured, "1.3 ×");
        let ratio = most.p50.median() / few.p50.median();
        let (little, much) = (few.p50.show("µs", 0), most.p50.show("µs", 0));
        let measured = format!("{little}, {much}: {ratio:.2} ×");
        table.row(&format!("p50 of {what}, {CONNECTIONS} at once"), &measured, "1.3 ×");
    }
    let (bytes, _) = most.product.bytes();
    table.row(&format!("file with {many} grants"), &format!("{} MiB", bytes / 1_048_576), "–");
    table.row("RSS after all of this", &format!("{:.1} MiB", most.product.peer.rss_mib()?), "120 MiB");
    Ok(())
}

/// Waits until what was written lies in the file: that is done between writes, and hundreds of MiB take their time.
async fn settled(product: &Product) {
    let mut before = product.bytes();
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let bytes = product.bytes();
        if bytes == before {
            return;
        }
        before = bytes;
    }
}

/// People with a hundred grants each, made over the last months as clients would have had them made.
async fn seed(record: &Engine, grants: usize) -> Outcome<()> {
    let chance = TestEntropy::default();
    let today = today();
    let people = people(record, grants / EACH, today, &chance).await?;
    let step = AGE / u32::try_from(grants).map_err(|error| error.to_string())?;
    let mut made_at = today.minus(AGE);
    let mut piece = Vec::with_capacity(PIECE);
    for index in 0..grants {
        made_at = made_at.plus(step);
        let user = people.get(index % people.len()).copied().ok_or("no people")?;
        piece.push(grant(user, made_at, &chance)?);
        if piece.len() == PIECE || index + 1 == grants {
            record.seed_grants(&piece).await.map_err(|error| error.to_string())?;
            piece.clear();
        }
    }
    Ok(())
}

fn grant(user: Id<protocol::id::User>, made_at: Timestamp, chance: &TestEntropy) -> Outcome<GrantRecord> {
    let mut seed = [0; 16];
    chance.fill(&mut seed);
    Ok(GrantRecord {
        id: Id::mint(made_at, chance),
        user,
        client_id: ClientId::parse("dcr_AAECAw").map_err(|error| error.to_string())?,
        resource: ResourceUri::parse("https://mcp.example.com/bench/mcp")
            .map_err(|error| error.to_string())?,
        server: SERVER.to_owned(),
        scope: Scope::parse("read write").map_err(|error| error.to_string())?,
        authorization: Id::mint(made_at, chance),
        seed,
        generation: 3,
        rotated_at: made_at,
        created_at: made_at,
        last_used_at: made_at,
        idle_expires_at: made_at.plus(LIFE),
        expires_at: made_at.plus(LIFE),
        shown: Hash::of(b"what was shown"),
        revoked_at: None,
        dpop_key: None,
    })
}

async fn people(
    record: &Engine,
    count: usize,
    today: Timestamp,
    chance: &TestEntropy,
) -> Outcome<Vec<Id<protocol::id::User>>> {
    let sign_ins = (0..count.max(1)).map(|index| {
        let id = Id::mint(today, chance);
        record.sign_in(SignIn {
            user: NewIdentity {
                id,
                connector: "development".to_owned(),
                subject: format!("person-{index}"),
                name: Some(format!("Person {index}")),
                email: None,
                groups: Vec::new(),
            },
            session: BrowserSessionRecord {
                hash: Hash::of(format!("session {index}").as_bytes()),
                user: id,
                created_at: today,
                authenticated_at: today,
                expires_at: today.plus(Duration::from_secs(3600)),
                upstream_session: None,
            },
            offline: None,
            authorization: None,
            audit: AuditEvent::new(Id::mint(today, chance), today, AuditKind::SignIn, Ended::Ok),
        })
    });
    let mut people = Vec::new();
    // Hundreds at once share each commit.
    let sign_ins: Vec<_> = sign_ins.collect();
    for done in futures_util::future::join_all(sign_ins).await {
        match done.map_err(|error| error.to_string())? {
            SignInOutcome::SignedIn(user) => people.push(user.id),
            SignInOutcome::Disabled | SignInOutcome::LegGone => return Err("a person was refused".to_owned()),
        }
    }
    Ok(people)
}
