//! What a bundle of secrets contains, who may have it, and how it is fetched: the part that the CSI node plugin and the operator
//! share.
//!
//! A class (SecretBundle, SecretProviderClass, SecretsStoreImport) becomes a [`Plan`]; its [`Claim`] and a VaultStore become an
//! [`Access`]; [`Bundles`] logs in with the pod's token, asks, keeps what was issued alive, and makes [`File`]s of the answers.
//! Nothing here knows mounts: names are checked where files are made.

mod bundles;
mod class;
mod classes;
mod counters;
mod events;
mod fetcher;
mod follow;
mod holder;
mod journal;
mod limit;
mod logins;
mod plan;
mod pod_status;
mod private;
mod problem;
mod render;
mod request;
mod revoker;
mod schedule;
mod secret_object;
mod server;
mod shared;
mod store;
mod term;
mod volume;

pub use bundles::{Bundles, Fetched, Mounted, Options, Staleness};
pub use class::{Class, Kind};
pub use counters::{Call, Counters};
pub use events::{About, Events};
pub use fetcher::{Fetcher, Gathered};
pub use holder::Holder;
pub use limit::Urgency;
pub use logins::Logins;
pub use plan::{Ask, Entry, Plan, Take, Text, from_bundle, from_class, from_import};
pub use private::Issued;
pub use problem::{Code, Problem};
pub use render::File;
pub use request::{Pod, Token, VolumeRequest};
pub use revoker::Memory;
pub use secret_object::{from_object, keys_of, unkept};
pub use store::{Access, Claim, Demand, StoreChoice, choose, grant};
