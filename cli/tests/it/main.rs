//! The command line as a user runs it: the real program, in the folder of a project, on real databases.

mod accidents;
mod doctor;
mod doubt;
mod encrypted;
mod existing;
mod migrations;
mod page;
mod passwords;
mod project;
mod scaffold;
mod status;
mod swapped;
mod tool;
mod tutorial;
mod usage;
mod waiting;
