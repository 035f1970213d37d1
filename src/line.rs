//! Threads and channels live in this module, and nowhere else.
//!
//! A [`Stage`] is a value with `push` and `finish`; a test drives it by hand, without a thread. A [`Line`] runs
//! stages side by side, joined by bounded channels, and keeps the order of the items.
//!
//! - A hang-up is never an error: whoever hung up holds the error, and [`Line::drain`] returns it.
//! - The sink can't tell the end of the stream from a failure: `Ok` from [`Line::drain`] alone means that every
//!   item was written, so that is where an output file may get its final name.
//! - The length of the queues is a memory setting: one 4K frame in 8-bit 4:2:0 is 12 MB.

use std::{
    fmt,
    panic::resume_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{Builder, Scope, ScopedJoinHandle},
    time::{Duration, Instant},
};

pub use crossbeam_channel::Receiver;
use crossbeam_channel::{Sender, bounded};

use crate::{Error, Result};

/// Items that may wait between two stages. One is enough to keep both at work, since whoever puts it there goes on
/// with the next; each more costs a frame's memory between all stages.
const QUEUE_LEN: usize = 1;

/// One step of the line: turns a stream of `In` into a stream of `Out`.
pub trait Stage: Send {
    /// What goes in.
    type In: Send;
    /// What comes out.
    type Out: Send;

    /// Takes one item and gives back at most one; a look-ahead stage gives `None` while it fills.
    ///
    /// # Errors
    /// Any error stops the whole line.
    fn push(&mut self, item: Self::In) -> Result<Option<Self::Out>>;

    /// Called after the last item until it gives `None`: hands out what is still held back.
    ///
    /// # Errors
    /// Any error stops the whole line.
    fn finish(&mut self) -> Result<Option<Self::Out>> {
        Ok(None)
    }
}

/// What a stage makes of one item alone.
///
/// # Errors
/// Those of the stage; [`Error::Device`] when it gives nothing, which is a bug in it.
pub fn single<S: Stage>(stage: &mut S, item: S::In) -> Result<S::Out> {
    let out = match stage.push(item)? {
        Some(out) => Some(out),
        None => stage.finish()?,
    };
    out.ok_or_else(|| Error::Device("a stage lost its only frame; please report this".into()))
}

/// `work` on all of `tasks`, at most `n_threads` at once; results in the order of the tasks.
///
/// # Errors
/// When a thread can't be started.
pub fn side_by_side<T: Send, O: Send>(
    tasks: Vec<T>,
    n_threads: usize,
    work: &(impl Fn(T) -> O + Sync),
) -> Result<Vec<O>> {
    let n_threads = n_threads.min(tasks.len());
    if n_threads <= 1 {
        return Ok(tasks.into_iter().map(work).collect());
    }
    let mut results = Vec::with_capacity(tasks.len());
    run(|mut line| {
        let tasks = line.source("tasks", tasks.into_iter().map(Ok))?;
        let workers = (0..n_threads).map(|_| |task: T| Ok(work(task))).collect();
        let done = line.parallel("work", tasks, workers)?;
        line.drain("gather", done, |result: O| {
            results.push(result);
            Ok(())
        })
    })?;
    Ok(results)
}

/// The time that one stage spent working, waiting left out, over all its workers.
#[derive(Debug)]
pub struct Meter {
    name: &'static str,
    n_workers: usize,
    busy_ns: AtomicU64,
    n_items: AtomicU64,
}

impl Meter {
    fn new(name: &'static str, n_workers: usize) -> Arc<Self> {
        Arc::new(Self { name, n_workers, busy_ns: AtomicU64::new(0), n_items: AtomicU64::new(0) })
    }

    /// The stage's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Threads that work on this stage.
    pub fn n_workers(&self) -> usize {
        self.n_workers
    }

    /// Working time so far, summed over the workers.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_ns.load(Ordering::Relaxed))
    }

    /// Items taken so far.
    pub fn n_items(&self) -> u64 {
        self.n_items.load(Ordering::Relaxed)
    }

    fn measure<T>(&self, n_items: u64, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let out = work();
        self.busy_ns.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        self.n_items.fetch_add(n_items, Ordering::Relaxed);
        out
    }
}

/// The running stages of one video, joined in the order of the picture's travel.
pub struct Line<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    threads: Vec<ScopedJoinHandle<'scope, Result<()>>>,
    meters: Vec<Arc<Meter>>,
}

impl fmt::Debug for Line<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("meters", &self.meters).finish_non_exhaustive()
    }
}

/// Runs `body` with an empty line whose threads all end before this returns.
///
/// # Errors
/// Whatever `body` returns, which ought to be the result of [`Line::drain`].
pub fn run<'env, T>(body: impl for<'scope> FnOnce(Line<'scope, 'env>) -> Result<T>) -> Result<T> {
    std::thread::scope(|scope| body(Line { scope, threads: Vec::new(), meters: Vec::new() }))
}

impl<'scope> Line<'scope, '_> {
    /// Starts the line: everything that `items` yields, until it ends, fails, or nobody listens.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn source<T: Send + 'scope>(
        &mut self,
        name: &'static str,
        mut items: impl Iterator<Item = Result<T>> + Send + 'scope,
    ) -> Result<Receiver<T>> {
        let meter = self.meter(name, 1);
        self.spawn(name, move |output| {
            while let Some(item) = meter.measure(1, || items.next()) {
                if output.send(item?).is_err() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Adds a stage with state: one thread, items in order.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn stage<S: Stage + 'scope>(
        &mut self,
        name: &'static str,
        input: Receiver<S::In>,
        mut stage: S,
    ) -> Result<Receiver<S::Out>> {
        let meter = self.meter(name, 1);
        self.spawn(name, move |output| {
            for item in input {
                if let Some(out) = meter.measure(1, || stage.push(item))?
                    && output.send(out).is_err()
                {
                    return Ok(());
                }
            }
            while let Some(out) = meter.measure(0, || stage.finish())? {
                if output.send(out).is_err() {
                    return Ok(());
                }
            }
            Ok(())
        })
    }

    /// Adds a stage without memory: one thread for each of `workers`, results in the order of the input.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn parallel<I: Send + 'scope, O: Send + 'scope, W>(
        &mut self,
        name: &'static str,
        input: Receiver<I>,
        workers: Vec<W>,
    ) -> Result<Receiver<O>>
    where
        W: FnMut(I) -> Result<O> + Send + 'scope,
    {
        // A worker takes an item and queues the ticket for its result under one lock, so that tickets stand in
        // the order of the input and the length of their queue bounds the items in flight.
        let meter = self.meter(name, workers.len());
        let (ticket_tx, tickets) = bounded::<Receiver<O>>(workers.len());
        let desk = Arc::new(Mutex::new((input, ticket_tx)));
        for mut work in workers {
            let (desk, meter) = (desk.clone(), meter.clone());
            self.spawn::<()>(name, move |_| {
                loop {
                    let (item, result_tx) = {
                        let Ok(desk) = desk.lock() else { return Ok(()) };
                        let Ok(item) = desk.0.recv() else { return Ok(()) };
                        let (result_tx, ticket) = bounded(1);
                        if desk.1.send(ticket).is_err() {
                            return Ok(());
                        }
                        (item, result_tx)
                    };
                    if result_tx.send(meter.measure(1, || work(item))?).is_err() {
                        return Ok(());
                    }
                }
            })?;
        }
        drop(desk);
        self.spawn(name, move |output| {
            for ticket in tickets {
                let Ok(out) = ticket.recv() else { break };
                if output.send(out).is_err() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Ends the line: hands every result to `write` on this thread, then waits for all stages.
    ///
    /// # Errors
    /// The first error in the order of the line. `Ok` alone means that every item was written.
    ///
    /// # Panics
    /// When a stage panicked: a panic is a bug, and goes on its way.
    pub fn drain<T>(
        self,
        name: &'static str,
        input: Receiver<T>,
        mut write: impl FnMut(T) -> Result<()>,
    ) -> Result<Vec<Arc<Meter>>> {
        self.drain_while(name, input, |item| write(item).map(|()| true))
    }

    /// The same until `write` gives `false`: then the items behind it are dropped.
    ///
    /// # Errors
    /// As [`Line::drain`]. `Ok` means that every item was written up to where `write` wanted no more.
    ///
    /// # Panics
    /// As [`Line::drain`].
    pub fn drain_while<T>(
        mut self,
        name: &'static str,
        input: Receiver<T>,
        mut write: impl FnMut(T) -> Result<bool>,
    ) -> Result<Vec<Arc<Meter>>> {
        let meter = self.meter(name, 1);
        // `into_iter` owns the receiver: it is gone before the join, so no sender can be stuck.
        let written = input.into_iter().try_for_each(|item| match meter.measure(1, || write(item)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(None),
            Err(e) => Err(Some(e)),
        });
        let written = written.or_else(|stop| stop.map_or(Ok(()), Err));
        let mut first = Ok(());
        for thread in self.threads {
            let result = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            first = first.and(result);
        }
        first.and(written).map(|()| self.meters)
    }

    fn meter(&mut self, name: &'static str, n_workers: usize) -> Arc<Meter> {
        let meter = Meter::new(name, n_workers);
        self.meters.push(meter.clone());
        meter
    }

    fn spawn<T: Send + 'scope>(
        &mut self,
        name: &'static str,
        body: impl FnOnce(&Sender<T>) -> Result<()> + Send + 'scope,
    ) -> Result<Receiver<T>> {
        let (tx, rx) = bounded(QUEUE_LEN);
        let thread = Builder::new()
            .name(name.into())
            .spawn_scoped(self.scope, move || body(&tx))
            .map_err(|e| Error::Device(format!("can't start the thread `{name}`: {e}")))?;
        self.threads.push(thread);
        Ok(rx)
    }
}

#[cfg(test)]
mod tests {
    use std::{panic::catch_unwind, sync::atomic::AtomicUsize};

    use super::*;

    /// Holds two items back, as a look-ahead stage does.
    #[derive(Default)]
    struct LookAhead(Vec<u32>);

    impl Stage for LookAhead {
        type In = u32;
        type Out = u32;

        fn push(&mut self, item: u32) -> Result<Option<u32>> {
            self.0.push(item);
            Ok((self.0.len() > 2).then(|| self.0.remove(0)))
        }

        fn finish(&mut self) -> Result<Option<u32>> {
            Ok((!self.0.is_empty()).then(|| self.0.remove(0)))
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "workers return results")]
    fn uneven(i: u32) -> Result<u32> {
        std::thread::sleep(Duration::from_micros(u64::from(i * 7919 % 13) * 50));
        Ok(i)
    }

    fn travel(n: u32, n_workers: usize, fail_at: Option<u32>) -> (Result<Vec<Arc<Meter>>>, Vec<u32>) {
        let mut seen = Vec::new();
        let result = run(|mut line| {
            let items = line.source("source", (0..n).map(Ok))?;
            let workers = (0..n_workers)
                .map(|_| {
                    move |i| {
                        if Some(i) == fail_at { Err(Error::Device(format!("item {i}"))) } else { uneven(i) }
                    }
                })
                .collect();
            let items = line.parallel("parallel", items, workers)?;
            let items = line.stage("stage", items, LookAhead::default())?;
            line.drain("drain", items, |i| {
                seen.push(i);
                Ok(())
            })
        });
        (result, seen)
    }

    #[test]
    fn every_item_arrives_once_and_in_order() {
        for n in [0, 1, 2, 3, 50] {
            for n_workers in [1, 2, 5] {
                let (result, seen) = travel(n, n_workers, None);
                let meters = result.expect("no stage fails");
                assert_eq!(seen, (0..n).collect::<Vec<_>>());
                assert_eq!(meters[1].n_items(), u64::from(n));
            }
        }
    }

    #[test]
    fn the_error_of_a_stage_comes_out_and_nothing_after_it() {
        let (result, seen) = travel(40, 3, Some(20));
        assert_eq!(result.expect_err("item 20 fails").to_string(), "item 20");
        assert!(seen.len() <= 20 && seen.iter().copied().eq(0..seen.len() as u32), "{seen:?}");
    }

    #[test]
    fn the_error_of_the_sink_stops_an_endless_source() {
        let result = run(|mut line| {
            let items = line.source("source", (0u32..).map(Ok))?;
            line.drain("drain", items, |i| if i < 9 { Ok(()) } else { Err(Error::Cancelled) })
        });
        assert!(matches!(result, Err(Error::Cancelled)));
    }

    #[test]
    fn a_panic_in_a_stage_comes_out_as_a_panic() {
        let travelled = catch_unwind(|| {
            run(|mut line| {
                let items = line.source("source", (0u32..).map(Ok))?;
                let workers = vec![|i: u32| if i == 5 { panic!("a bug") } else { Ok(i) }];
                let items = line.parallel("parallel", items, workers)?;
                line.drain("drain", items, |_| Ok(()))
            })
        });
        assert!(travelled.is_err());
    }

    #[test]
    fn few_items_are_in_flight_however_slow_the_sink_is() {
        let (made, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut written = 0;
        run(|mut line| {
            let items = line.source(
                "source",
                (0..200u32).map(|i| {
                    made.fetch_add(1, Ordering::SeqCst);
                    Ok(i)
                }),
            )?;
            let items = line.parallel("parallel", items, vec![uneven; 2])?;
            line.drain("drain", items, |_| {
                std::thread::sleep(Duration::from_micros(300));
                most.fetch_max(made.load(Ordering::SeqCst) - written, Ordering::SeqCst);
                written += 1;
                Ok(())
            })
        })
        .expect("no stage fails");
        // Two queues of 1, tickets and workers 2 + 2, one in each hand: 10 is generous, 200 would be a leak.
        assert!(most.load(Ordering::SeqCst) <= 10, "{most:?} items in flight");
    }
}
