// Stands for Node modules that a bundled package names but never reaches here (files, sockets, compression).
export default {};
