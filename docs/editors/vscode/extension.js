// The client of specc's language server. Plain JavaScript: there is nothing to build.
"use strict";

const { commands, workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

function start() {
  const settings = workspace.getConfiguration("specc");
  const [command, ...args] = settings.get("command");
  const documentSelector = [{ language: "specc" }];
  if (settings.get("yaml")) {
    documentSelector.push({ language: "yaml" });
  }
  client = new LanguageClient("specc", "specc", { command, args }, { documentSelector });
  return client.start();
}

async function activate(context) {
  context.subscriptions.push(
    commands.registerCommand("specc.restart", async () => {
      await deactivate();
      await start();
    })
  );
  await start();
}

async function deactivate() {
  const running = client;
  client = undefined;
  if (running) {
    await running.stop();
  }
}

module.exports = { activate, deactivate };
