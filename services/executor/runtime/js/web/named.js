// The bundler may rename what collides with a global; console and node-fetch look at the names.
export function named(functions) {
  for (const name of Object.keys(functions)) Object.defineProperty(functions[name], 'name', { value: name, configurable: true });
}
