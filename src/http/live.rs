//! `/api/live`: the overview each second, as server-sent events. One task looks at everything for all readers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use super::access::{Guard, Sight};
use super::answers::error;
use super::api::Api;
use super::overview::{OverviewPart, compose};
use crate::tasks::{self, Kind};

/// So many readers at a time, of the connections of the listener.
const MOST: usize = 64;
/// How often an event is sent.
const BEAT: Duration = Duration::from_secs(1);

/// The newest overview; none before the first.
type Latest = Option<Arc<Vec<OverviewPart>>>;

/// Sends what is live.
pub(super) struct Live {
    api: Arc<dyn Api>,
    places: Arc<Semaphore>,
    latest: watch::Sender<Latest>,
    /// Whether somebody looks. Held while a reader comes and while the task decides to end.
    looks: Mutex<bool>,
}

/// One reader.
struct Reader {
    latest: watch::Receiver<Latest>,
    /// Whether what was decided when the request was let in still holds.
    holds: Box<dyn Fn() -> bool + Send>,
    sight: Sight,
    /// It has had an event.
    begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Live {
    pub(super) fn new(api: Arc<dyn Api>) -> Arc<Self> {
        Arc::new(Live {
            api,
            places: Arc::new(Semaphore::new(MOST)),
            latest: watch::Sender::new(None),
            looks: Mutex::new(false),
        })
    }

    /// An event each second for as long as somebody reads them and the rules are the same; a browser comes
    /// again by itself then, and is judged anew.
    pub(super) fn events(self: &Arc<Self>, guard: &Arc<Guard>, sight: Sight) -> Response {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let text = format!("{MOST} are being sent what is live already");
            return error(StatusCode::SERVICE_UNAVAILABLE, &text);
        };
        let (guard, rules) = (Arc::clone(guard), guard.rules());
        let reader = Reader {
            latest: self.watched(),
            holds: Box::new(move || Arc::ptr_eq(&guard.rules(), &rules)),
            sight,
            begun: false,
            _place: place,
        };
        let events = stream::unfold(reader, async |mut reader| {
            let event = reader.next().await?;
            Some((Ok::<_, Infallible>(event), reader))
        });
        let head = [
            (CONTENT_TYPE, "text/event-stream"),
            (CACHE_CONTROL, "no-store"),
        ];
        (head, Body::from_stream(events)).into_response()
    }

    /// The newest overview from now on: somebody looks at everything as long as this is there.
    fn watched(self: &Arc<Self>) -> watch::Receiver<Latest> {
        let mut looks = self.looks.lock();
        let receiver = self.latest.subscribe();
        if !*looks {
            *looks = true;
            // What was left from the last readers is old.
            self.latest.send_replace(None);
            let live = Arc::clone(self);
            let look = move || Arc::clone(&live).look();
            tokio::spawn(tasks::keep(Kind::Http, look));
        }
        receiver
    }

    async fn look(self: Arc<Self>) {
        let mut clock = tokio::time::interval(BEAT);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            {
                let mut looks = self.looks.lock();
                if self.latest.receiver_count() == 0 {
                    *looks = false;
                    return;
                }
            }
            self.latest
                .send_replace(Some(Arc::new(self.api.overview())));
        }
    }
}

impl Reader {
    /// The next event; none when there are no more.
    async fn next(&mut self) -> Option<String> {
        // Whoever comes is told at once what is known, and from then on what is new.
        if self.begun || self.latest.borrow_and_update().is_none() {
            self.latest.changed().await.ok()?;
        }
        self.begun = true;
        let found = self.latest.borrow_and_update().clone()?;
        if !(self.holds)() {
            return None;
        }
        let overview = compose(&found, &self.sight);
        Some(format!("event: overview\ndata: {overview}\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;
    use crate::access::AccessList;
    use crate::command::Table;
    use crate::config::Http;
    use crate::http::access::Viewer;
    use crate::http::{ApiPage, Asked, PageError, Part, Rules};

    /// Counts how often it is looked at.
    #[derive(Default)]
    struct Counted(AtomicU64);

    impl Api for Counted {
        fn body(&self, _page: &ApiPage, _sight: &Sight) -> Asked<Part> {
            async { Err(PageError::Invalid(String::new())) }.boxed()
        }

        fn overview(&self) -> Vec<OverviewPart> {
            let look = self.0.fetch_add(1, Ordering::Relaxed);
            vec![OverviewPart::new("look", "INFO", look.to_string())]
        }
    }

    fn sight() -> Sight {
        let rules = Rules {
            http: Http {
                listen: None,
                token: None,
                basic_auth: true,
                hosts: Vec::new(),
                fleet_metrics: true,
            },
            protected_mode: true,
            access: Arc::new(AccessList::new(&[], Vec::new()).expect("no rules")),
        };
        let table = Arc::new(Table::shipped());
        Guard::new(rules).sight(Viewer::Anybody, table)
    }

    #[tokio::test(start_paused = true)]
    async fn all_readers_share_one_look_and_nobody_looks_for_none() {
        let api = Arc::new(Counted::default());
        let live = Live::new(Arc::clone(&api) as Arc<dyn Api>);
        let looks = || api.0.load(Ordering::Relaxed);
        let readers = (0..50).map(|_| {
            let mut reader = Reader {
                latest: live.watched(),
                holds: Box::new(|| true),
                sight: sight(),
                begun: false,
                _place: Arc::clone(&live.places)
                    .try_acquire_owned()
                    .expect("a place"),
            };
            async move {
                let mut events = Vec::new();
                for _ in 0..3 {
                    events.push(reader.next().await.expect("an event"));
                }
                events.dedup();
                assert_eq!(events.len(), 3, "{events:?}");
            }
        });
        join_all(readers.collect::<Vec<_>>()).await;
        assert!((3..=5).contains(&looks()), "{}", looks());
        tokio::time::sleep(BEAT * 3).await;
        let after = looks();
        tokio::time::sleep(BEAT * 3).await;
        assert_eq!(looks(), after);
        assert!(!*live.looks.lock());
        let mut again = live.watched();
        again.wait_for(Option::is_some).await.expect("a look");
        assert_eq!(looks(), after + 1);
    }
}
