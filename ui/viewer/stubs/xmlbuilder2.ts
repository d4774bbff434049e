// Only vtk.js's XML mesh readers want xmlbuilder2, and no mesh is ever read here. Without this stub the build succeeds and
// the bundle dies as it loads (the package reaches for Node's `url`).
const absent = (): never => {
  throw new Error("xmlbuilder2 is not in this bundle");
};
export { absent as builder, absent as convert, absent as create, absent as fragment };
export default { builder: absent, convert: absent, create: absent, fragment: absent };
