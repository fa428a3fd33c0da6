//! The writer: one thread, one connection. All writes that wait are done under one `COMMIT`, each in a savepoint of
//! its own, and answered after that commit is on the disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, ffi, params_from_iter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::files::Files;
use super::rows;
use crate::StoreError;
use crate::engine::Listeners;
use crate::engine::write::{Step, Touched, Write, Written};

/// Writes that may wait; callers beyond wait for room.
const QUEUE: usize = 4096;
/// Most writes under one commit: enough to share the disk, few enough to answer soon.
const BATCH: usize = 128;
/// Writes between checkpoints under load.
const CHECKPOINT_AFTER: usize = 2000;
/// How long nothing must happen before the log is checkpointed.
const IDLE: Duration = Duration::from_secs(1);

type Answer = Result<Written, StoreError>;

struct Job {
    write: Write,
    answer: oneshot::Sender<Answer>,
    _room: OwnedSemaphorePermit,
}

/// The way to the writer's thread.
pub(super) struct Writer {
    queue: Option<Sender<Job>>,
    room: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(files: Files, heard: Arc<Listeners>) -> Result<Self, StoreError> {
        let (queue, jobs) = channel();
        let connection = files.writing()?;
        let work = move || Work { files, connection, jobs, heard, since_checkpoint: 0 }.run();
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(work);
        let thread = thread.map_err(StoreError::unavailable)?;
        Ok(Self { queue: Some(queue), room: Arc::new(Semaphore::new(QUEUE)), thread: Some(thread) })
    }

    /// Once queued a write is done, whether or not anybody still waits for the answer.
    pub(super) async fn write(&self, write: Write) -> Answer {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(StoreError::unavailable)?;
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.send(Job { write, answer, _room: room }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing the queue lets the thread finish what is in it and end.
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the database ended in a panic");
        }
    }
}

fn gone() -> StoreError {
    StoreError::unavailable("the writer of the database has ended")
}

/// What runs on the thread.
struct Work {
    files: Files,
    connection: Connection,
    jobs: Receiver<Job>,
    heard: Arc<Listeners>,
    since_checkpoint: usize,
}

impl Work {
    fn run(mut self) {
        while let Some(first) = self.next() {
            let mut batch = vec![first];
            batch.extend(self.jobs.try_iter().take(BATCH - 1));
            let answers = self.commit(&batch);
            self.since_checkpoint += batch.len();
            for (job, answer) in batch.into_iter().zip(answers) {
                if matches!(answer, Ok(Written::Done(_))) {
                    job.write.announce.iter().for_each(|announcement| self.heard.announce(announcement));
                }
                // Nobody waits for it any more: it is done all the same.
                let _ = job.answer.send(answer);
            }
            if self.since_checkpoint >= CHECKPOINT_AFTER {
                self.checkpoint();
            }
        }
    }

    /// The next write; meanwhile, if there is time, the log is folded into the file.
    fn next(&mut self) -> Option<Job> {
        if self.since_checkpoint > 0 {
            match self.jobs.recv_timeout(IDLE) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.checkpoint(),
            }
        }
        self.jobs.recv().ok()
    }

    fn checkpoint(&mut self) {
        self.since_checkpoint = 0;
        // PASSIVE waits for nobody; what a reader still needs is left for the next time.
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the database log could not be checkpointed");
        }
    }

    /// Does a batch under one commit. Whatever undoes the batch undoes every write in it, and each is told so.
    fn commit(&self, batch: &[Job]) -> Vec<Answer> {
        if let Err(error) = self.files.in_place() {
            let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(reason, "nothing can be written");
            return batch.iter().map(|_| Err(StoreError::unavailable(reason.clone()))).collect();
        }
        match self.attempt(batch) {
            Ok(answers) => answers,
            Err(error) => {
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "a failed batch could not be rolled back");
                }
                let reason = error.to_string();
                batch.iter().map(|_| Err(StoreError::unavailable(reason.clone()))).collect()
            }
        }
    }

    fn attempt(&self, batch: &[Job]) -> rusqlite::Result<Vec<Answer>> {
        self.run_sql("BEGIN IMMEDIATE")?;
        if let [job] = batch {
            let answer = steps(&self.connection, &job.write);
            let done = matches!(answer, Ok(Written::Done(_)));
            self.still_open(&answer)?;
            #[cfg(feature = "failpoints")]
            crate::engine::failpoint::passed(crate::engine::Failpoint::BeforeCommit);
            self.run_sql(if done { "COMMIT" } else { "ROLLBACK" })?;
            return Ok(vec![answer]);
        }
        let mut answers = Vec::with_capacity(batch.len());
        for job in batch {
            self.run_sql("SAVEPOINT one")?;
            let answer = steps(&self.connection, &job.write);
            self.still_open(&answer)?;
            if !matches!(answer, Ok(Written::Done(_))) {
                self.run_sql("ROLLBACK TO one")?;
            }
            self.run_sql("RELEASE one")?;
            answers.push(answer);
        }
        #[cfg(feature = "failpoints")]
        crate::engine::failpoint::passed(crate::engine::Failpoint::BeforeCommit);
        self.run_sql("COMMIT")?;
        Ok(answers)
    }

    /// A full disk, for one, ends the whole transaction and not just the statement.
    fn still_open(&self, answer: &Answer) -> rusqlite::Result<()> {
        match answer {
            Err(error) if self.connection.is_autocommit() => {
                tracing::error!(error = %error, "the database undid a whole batch");
                Err(rusqlite::Error::SqliteFailure(
                    ffi::Error::new(ffi::SQLITE_ABORT_ROLLBACK),
                    std::error::Error::source(error).map(ToString::to_string),
                ))
            }
            Err(_) | Ok(_) => Ok(()),
        }
    }

    fn run_sql(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}

/// The steps of a write, within a transaction that somebody else ends.
pub(super) fn steps(connection: &Connection, write: &Write) -> Answer {
    let mut done = Vec::with_capacity(write.steps.len());
    for (place, one) in write.steps.iter().enumerate() {
        match step(connection, one) {
            Ok(touched) if one.expect.allows(touched.count) => done.push(touched),
            Ok(_) => return Ok(Written::Missed(place)),
            Err(error) if is_missed_key(&error) => return Ok(Written::Missed(place)),
            Err(error) => return Err(StoreError::unavailable(error)),
        }
    }
    Ok(Written::Done(done))
}

fn step(connection: &Connection, step: &Step) -> rusqlite::Result<Touched> {
    if step.returning {
        let rows = rows(connection, step.sql, &step.params)?;
        return Ok(Touched { count: rows.len() as u64, rows });
    }
    let mut statement = connection.prepare_cached(step.sql)?;
    let count = statement.execute(params_from_iter(&step.params))?;
    Ok(Touched { count: count as u64, rows: Vec::new() })
}

/// A key that must be unique was there, or one that must be there was not: a guard like any other.
fn is_missed_key(error: &rusqlite::Error) -> bool {
    let Some(failure) = error.sqlite_error() else { return false };
    failure.code == ErrorCode::ConstraintViolation
        && matches!(
            failure.extended_code,
            ffi::SQLITE_CONSTRAINT_UNIQUE
                | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                | ffi::SQLITE_CONSTRAINT_FOREIGNKEY
        )
}
