//! A start, step by step: everything that can be known locally first, then the server, then the program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use envlatch_reference::{Absence, Reference};

use crate::bulk;
use crate::cli::Words;
use crate::command;
use crate::dir;
use crate::environment::Environment;
use crate::logging;
use crate::merge::{Candidate, Merged, Removal, Source};
use crate::plan::Plan;
use crate::prepared::{NO_COMMAND, prepare};
use crate::problem::{Exit, Problem, Problems};
use crate::request::{Answers, Refusal, Request, What};
use crate::resolve::Resolver;
use crate::settings::Settings;
use crate::trim::trim_newlines;

#[cfg(not(feature = "vault"))]
pub(crate) use crate::no_server::Server;
#[cfg(feature = "vault")]
pub(crate) use crate::server::Server;

/// What is to be resolved, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) environment: &'a Environment,
    /// The command to look for
    pub(crate) program: Option<&'a OsString>,
    /// Tokens to use instead of a login
    #[cfg(feature = "stay")]
    pub(crate) tokens: &'a [crate::holdings::Token],
    /// Leave out what is new each time
    #[cfg(feature = "stay")]
    pub(crate) steady: bool,
}

/// The environment of the program, the server it came from, and where the program is.
pub(crate) struct Resolution {
    pub(crate) merged: Merged,
    pub(crate) server: Option<Server>,
    pub(crate) command: Option<PathBuf>,
    /// The environment without what is new each time, when that will be compared
    #[cfg(feature = "stay")]
    pub(crate) steady: Merged,
}

/// Resolves everything and becomes the command, or stays beside it.
///
/// # Errors
/// Why there is no program, or why it had to end.
pub(crate) fn run(words: &Words, environment: &Environment) -> Result<ExitCode, Problems> {
    let settings = Settings::new(words, environment)?;
    let Some(program) = words.argv.first() else {
        return Err(Problem::new(Exit::Usage, NO_COMMAND).into());
    };
    // Nothing of ours is worth a core dump; execve gives the program its own setting back (prctl(2), PR_SET_DUMPABLE).
    let _best_effort = nix::sys::prctl::set_dumpable(false);
    #[cfg(feature = "stay")]
    let _only_exec_needs_it = nix::sys::prctl::set_name(crate::stay::STARTING);
    #[cfg(feature = "stay")]
    if let Some(staying) = &settings.staying {
        return crate::stay::run(words, environment, &settings, staying);
    }
    let resolution = resolve(&Job::new(&settings, environment, Some(program)))?;
    let prepared = resolution.or_revoke(prepare(&resolution, &words.argv))?;
    if let Some(server) = &resolution.server {
        server.started();
    }
    let refused = prepared.exec();
    resolution.or_revoke(Err(refused))
}

/// Everything but the command.
///
/// # Errors
/// Every problem that was found before the network, or else every problem found there.
pub(crate) fn resolve(job: &Job<'_>) -> Result<Resolution, Problems> {
    let Job {
        settings,
        environment,
        program,
        ..
    } = *job;
    let mut problems = Problems::default();
    let plan = problems.collect(job.plan());
    let files = problems.collect(files(settings)).unwrap_or_default();
    let find = |program| find_early(program, settings, environment, plan.as_ref());
    let command = program
        .and_then(|program| problems.collect(find(program)))
        .flatten();
    let server = plan
        .as_ref()
        .and_then(|plan| problems.collect(server(job, plan)))
        .flatten();
    let Some(plan) = plan else {
        return Err(problems);
    };
    problems.or_ok(())?;
    let resolution = Resolution {
        merged: Merged::default(),
        server,
        command,
        #[cfg(feature = "stay")]
        steady: Merged::default(),
    }
    .fill(job, &plan, files)?;
    resolution.find_late(program)
}

fn server(job: &Job<'_>, plan: &Plan) -> Result<Option<Server>, Problems> {
    if plan.requests.is_empty() {
        return Ok(None);
    }
    let server = Server::new(job.settings, job.environment, &plan.families());
    #[cfg(feature = "stay")]
    let server = server.inspect(|server| server.borrow(job.tokens));
    server.map(Some)
}

/// The files of every directory, in the order given.
fn files(settings: &Settings) -> Result<Vec<Vec<Candidate>>, Problems> {
    let mut problems = Problems::default();
    let layers = settings
        .dirs
        .iter()
        .filter_map(|path| problems.collect(directory(path, settings)))
        .collect();
    problems.or_ok(layers)
}

fn directory(path: &Path, settings: &Settings) -> Result<Vec<Candidate>, Problems> {
    let request = dir::Request {
        dir: path,
        selection: &settings.selection,
        mapping: settings.mapping,
        max_file_size: settings.max_file_size,
    };
    let mut entries = Vec::new();
    for file in dir::read(&request)? {
        let content = if settings.keep_newline {
            file.content
        } else {
            trim_newlines(file.content)
        };
        if content.is_empty() {
            logging::warn(format_args!("{} is empty", path.join(&file.path).display()));
        }
        entries.push((file.path.as_bytes().to_vec(), content));
    }
    bulk::candidates(entries, &Source::new(path.display().to_string()), settings)
}

/// Looks for the command before anything is fetched, unless the PATH that decides is itself still to come.
fn find_early(
    program: &OsStr,
    settings: &Settings,
    environment: &Environment,
    plan: Option<&Plan>,
) -> Result<Option<PathBuf>, Problem> {
    let refers = plan.is_some_and(|plan| {
        plan.variables
            .iter()
            .any(|variable| variable.name == b"PATH")
    });
    let path_is_a_target = refers || settings.allowed.contains(b"PATH".as_slice());
    if path_is_a_target && !program.as_bytes().contains(&b'/') {
        return Ok(None);
    }
    command::find(program, environment.get("PATH")).map(Some)
}

// === impl Job ===

impl<'a> Job<'a> {
    /// Everything, with a login if one is needed.
    pub(crate) fn new(
        settings: &'a Settings,
        environment: &'a Environment,
        program: Option<&'a OsString>,
    ) -> Self {
        Self {
            settings,
            environment,
            program,
            #[cfg(feature = "stay")]
            tokens: &[],
            #[cfg(feature = "stay")]
            steady: false,
        }
    }

    /// What a peer's manifest wants to be waited for before a start.
    fn delay(&self) -> std::time::Duration {
        #[cfg(feature = "stay")]
        if self.steady {
            return std::time::Duration::ZERO;
        }
        self.settings.peers.delay
    }

    fn plan(&self) -> Result<Plan, Problems> {
        let plan = Plan::new(self.settings, self.environment)?;
        #[cfg(feature = "stay")]
        if self.steady {
            return Ok(plan.steady(self.environment));
        }
        Ok(plan)
    }
}

// === impl Resolution ===

impl Resolution {
    /// Asks the server and puts everything together; revokes when that fails.
    fn fill(
        mut self,
        job: &Job<'_>,
        plan: &Plan,
        files: Vec<Vec<Candidate>>,
    ) -> Result<Self, Problems> {
        let Job {
            settings,
            environment,
            ..
        } = *job;
        if self.server.is_some() {
            std::thread::sleep(job.delay());
        }
        let mut answers = self
            .server
            .as_mut()
            .map(|server| server.read(&plan.requests))
            .unwrap_or_default();
        let assessed = assess(settings, environment, plan, &answers);
        #[cfg(feature = "stay")]
        if settings.staying.is_some() && assessed.is_ok() {
            let steady = plan.steady(environment);
            let steady = merge(settings, environment, &steady, &answers, files.clone());
            self.steady = self.or_revoke(steady)?;
        }
        let filled = assessed.and_then(|()| {
            answers.0.extend(
                self.server
                    .as_mut()
                    .map(|server| server.mint(&plan.requests))
                    .unwrap_or_default()
                    .0,
            );
            merge(settings, environment, plan, &answers, files)
        });
        self.merged = self.or_revoke(filled)?;
        Ok(self)
    }

    /// Finds the command in the PATH that it will have, if that was not known before.
    fn find_late(mut self, program: Option<&OsString>) -> Result<Self, Problems> {
        if let (None, Some(program)) = (&self.command, program) {
            let path = self
                .merged
                .0
                .get(b"PATH".as_slice())
                .map(|entry| OsStr::from_bytes(entry.value.expose()));
            let found = command::find(program, path).map_err(Problems::from);
            self.command = Some(self.or_revoke(found)?);
        }
        Ok(self)
    }

    /// A step's result; nothing that was created for a start survives its failure.
    pub(crate) fn or_revoke<T>(&self, step: Result<T, Problems>) -> Result<T, Problems> {
        if let (Err(_), Some(server)) = (&step, &self.server) {
            server.failed();
        }
        step
    }
}

/// Whether everything that was answered so far holds what is needed of it.
fn assess(
    settings: &Settings,
    environment: &Environment,
    plan: &Plan,
    answers: &Answers,
) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for (request, answer) in &answers.0 {
        if let Err(refusal) = answer {
            report(request, refusal, settings, environment, plan, &mut problems);
        }
    }
    let resolver = Resolver {
        settings,
        environment,
        answers,
    };
    for variable in &plan.variables {
        problems.collect(resolver.variable(variable));
    }
    for bulk in &plan.bulks {
        problems.collect(resolver.bulk(bulk));
    }
    problems.or_ok(())
}

/// A failed request is one problem, whoever needs its answer.
fn report(
    request: &Request,
    refusal: &Refusal,
    settings: &Settings,
    environment: &Environment,
    plan: &Plan,
    problems: &mut Problems,
) {
    let same = |other: Option<Request>| {
        other.is_some_and(|other| {
            other.what == request.what
                && crate::plan::family(other.family, environment) == request.family
        })
    };
    let tolerates = |reference: &Reference| {
        refusal.absent && (settings.ignore_missing || *reference.absence() != Absence::Required)
    };
    let needs = |reference: &Reference| same(Request::of(reference)) && !tolerates(reference);
    let variables = plan
        .variables
        .iter()
        .filter(|variable| variable.references().any(needs))
        .map(|variable| variable.place.clone());
    let bulks = plan.bulks.iter().filter(|bulk| {
        same(Some((&bulk.path).into())) && !(refusal.absent && settings.ignore_missing)
    });
    let affected: Vec<String> = variables
        .chain(bulks.map(|bulk| format!("--from {}", bulk.path.path)))
        .collect();
    if !affected.is_empty() {
        problems.add(
            refusal.exit,
            format!("{}: {}", affected.join(", "), refusal.text),
        );
    }
}

/// The program's environment, from everything that is known now.
fn merge(
    settings: &Settings,
    environment: &Environment,
    plan: &Plan,
    answers: &Answers,
    files: Vec<Vec<Candidate>>,
) -> Result<Merged, Problems> {
    assess(settings, environment, plan, answers)?;
    let resolver = Resolver {
        settings,
        environment,
        answers,
    };
    let removal = Removal {
        pass: &settings.pass,
        server_used: !plan.requests.is_empty(),
        login_handed_on: plan
            .requests
            .iter()
            .any(|request| request.what == What::Login),
    };
    let mut merged = Merged::inherited(environment, &removal);
    for variable in plan.variables.iter().filter(|variable| !variable.explicit) {
        merged.forget(&variable.name);
    }
    let mut problems = Problems::default();
    let bulk_layers = |last_word: bool, problems: &mut Problems| -> Vec<Vec<Candidate>> {
        let wanted = plan.bulks.iter().filter(|bulk| bulk.last_word == last_word);
        wanted
            .filter_map(|bulk| problems.collect(resolver.bulk(bulk)))
            .collect()
    };
    let early = bulk_layers(false, &mut problems);
    let variables = plan
        .variables
        .iter()
        .filter_map(|variable| problems.collect(resolver.variable(variable)))
        .collect();
    let late = bulk_layers(true, &mut problems);
    for layer in files
        .into_iter()
        .chain(early)
        .chain([variables])
        .chain(late)
    {
        problems.collect(merged.add(layer, settings.on_conflict));
    }
    problems.or_ok(merged)
}
