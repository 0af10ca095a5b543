//! Larger than a fleet of small ones: one Application of very many objects, and Deployments that have pods.
//!
//! Enters: how many.
//! Leaves: figures to `report`.
//! Never: a part whose objects were not seen Ready.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::{
    bare,
    run::Bench,
    workload::{self, Version},
};

/// Deployments of one Application.
const EACH: usize = 30;
/// One object of so many changes.
const EVERY: usize = 100;
/// Where the numbers of these Applications begin, above those of any fleet.
const LARGE: usize = 90_000;
const PODS: usize = 91_000;

impl Bench<'_> {
    /// One Application of very many objects: all new, then one in a hundred changed.
    pub(crate) async fn large(&mut self) -> Result<()> {
        let count = self.arguments.large_objects;
        for (name, version) in [("all new", 1), ("1 % changed", 2)] {
            self.fleet.until_quiet(self.patience()).await?;
            let objects = workload::config_maps(LARGE, count, EVERY, version);
            self.fleet.write_file(LARGE, &workload::text(&objects))?;
            let commit = self.fleet.commit()?;
            let before = self.begin()?;
            if version == 1 {
                self.fleet.create(std::iter::once(LARGE)).await?;
            } else {
                self.fleet.push().await?;
            }
            self.fleet.until_ready(&commit, 1, self.patience()).await?;
            let name = format!("one Application of {count}, {name}");
            let part = self.end(&name, before).await?;
            self.report.add(part);
        }
        Ok(())
    }

    /// Deployments of one pod each, in Applications of thirty, beside the plain loop until its own are available.
    pub(crate) async fn pods(&mut self) -> Result<()> {
        let applications = self.arguments.pods.div_ceil(EACH);
        let numbers = || PODS..PODS + applications;
        let version = Version {
            deployment: 1,
            all: 1,
        };
        self.fleet.until_quiet(self.patience()).await?;
        let bare: Vec<Value> = numbers()
            .flat_map(|number| workload::deployments(number, EACH, version))
            .collect();
        let names = bare
            .iter()
            .filter_map(|object| object.pointer("/metadata/name")?.as_str())
            .map(str::to_owned)
            .collect();
        for number in numbers() {
            let objects = workload::deployments(number, EACH, version);
            self.fleet.write_file(number, &workload::text(&objects))?;
        }
        let commit = self.fleet.commit()?;
        let before = self.begin()?;
        self.fleet.create(numbers()).await?;
        self.fleet
            .until_ready(&commit, applications, self.patience())
            .await?;
        let name = format!("{} Deployments with a pod each", applications * EACH);
        let mut part = self.end(&name, before).await?;
        let start = std::time::Instant::now();
        let connections = self.arguments.connections;
        let applied = bare::apply_all(&self.fleet.client, "bare", bare, connections).await?;
        bare::available(&self.fleet.client, "bare", names, self.patience()).await?;
        let settled: Duration = start.elapsed();
        part.bare_seconds = Some(applied.as_secs_f64());
        part.bare_settled_seconds = Some(settled.as_secs_f64());
        self.report.add(part);
        Ok(())
    }
}
