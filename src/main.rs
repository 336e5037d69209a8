//! The program: runs the command that was asked for, prints one error, and picks the exit status.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use bifrost::cli::commands::{self, CommandError, Status};
use bifrost::cli::{self, Action, Invocation};
use bifrost::server::signals;

fn main() -> ExitCode {
    let invocation = match cli::parse() {
        Ok(invocation) => invocation,
        Err(answer) => {
            let _ = answer.print(); // an error of stdout can't be reported anywhere else
            return ExitCode::from(answer.exit_code() as u8);
        }
    };
    let outcome = run(&invocation);
    log::logger().flush();
    match outcome {
        Ok(status) => ExitCode::from(status.code()),
        Err(error) => {
            commands::note(&error.to_string());
            ExitCode::from(error.code())
        }
    }
}

fn run(invocation: &Invocation) -> Result<Status, CommandError> {
    let matches = invocation.matches.clone();
    let settings = move || cli::variables(&matches);
    match &invocation.action {
        Action::Serve => commands::serve(settings),
        Action::Demo => commands::demo(settings),
        Action::Token(request) => commands::token(&settings()?, request),
        Action::Inspect(token) => commands::inspect(&settings()?, token),
        Action::Broadcast(broadcast) => commands::broadcast(&settings()?, broadcast),
        Action::Listen(listen) => {
            let shutdown = signals::for_command();
            let shutdown = shutdown.map_err(CommandError::system("can't catch signals"))?;
            commands::listen(&settings()?, listen, shutdown)
        }
        Action::Secret => commands::secret(),
        Action::Check => commands::check(&settings()?),
        Action::Health(probe) => commands::health(&settings()?, *probe),
        Action::Completions(shell) => commands::completions(*shell),
        Action::Man(page) => commands::man(page),
        Action::Unit(unit) => commands::unit(*unit),
    }
}
