// The reference server of tus on Node, to compare answers with. Says its port when it listens.
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const server = new Server({
  path: "/uploads",
  datastore: new FileStore({ directory: process.argv[2] }),
  maxSize: 50_000_000,
  relativeLocation: true,
});
const listening = server.listen({ host: "127.0.0.1", port: 0 }, () => {
  console.log(`listens ${listening.address().port}`);
});
process.stdin.on("end", () => process.exit(0)).resume(); // it ends with whoever started it
